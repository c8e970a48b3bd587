"""How a simulator learns: trajectories -> windows with noise -> loss; judged by short rollouts."""
