"""Trajectories on disk: solver | file of another program -> checked frames -> HDF5 with metadata and statistics."""
