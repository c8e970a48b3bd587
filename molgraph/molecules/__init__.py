"""Molecules: ``SMILES -> molecule graph -> graph network -> property``."""
