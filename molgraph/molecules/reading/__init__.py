"""What people wrote, checked: ``file | named set -> table -> SMILES -> RDKit molecule -> split``."""

from molgraph.molecules.reading.chemistry import (
    PROPERTIES,
    UNITS,
    atom_properties,
    canonical_mixture,
    canonicalize_all,
    draw_grid,
    fragment_counts,
    morgan_fingerprints,
    properties,
    scaffold_counts,
    strip_atom_maps,
)
from molgraph.molecules.reading.smiles import InvalidSmiles, Standardization, canonicalize, parse, randomize

__all__ = [
    "PROPERTIES",
    "UNITS",
    "InvalidSmiles",
    "Standardization",
    "atom_properties",
    "canonical_mixture",
    "canonicalize",
    "canonicalize_all",
    "draw_grid",
    "fragment_counts",
    "morgan_fingerprints",
    "parse",
    "properties",
    "randomize",
    "scaffold_counts",
    "strip_atom_maps",
]
