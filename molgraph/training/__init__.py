"""One trainer for molecules, sequences and particles: ``Task.loss -> Trainer.fit -> best.pt, last.pt, metrics.csv``."""
