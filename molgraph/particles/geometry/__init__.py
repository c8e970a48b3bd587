"""Where particles are and who is near: box -> positions -> every pair within the cut-off."""
