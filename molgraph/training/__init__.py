"""One trainer for all rooms: ``Task.loss -> Trainer.fit -> best.pt, last.pt, metrics.csv``.

Read in this order: ``task`` (what a problem has to say) -> ``experiment`` -> ``run`` -> ``trainer``.
"""
