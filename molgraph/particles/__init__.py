"""Positions to motion: simulate a ground truth, learn it, roll it out.

positions -> radius graph -> learned simulator -> next positions

Read in this order: `geometry` -> `solvers` -> `data` -> `models` -> `learning` -> `rollout`.
"""
