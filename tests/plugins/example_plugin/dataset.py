"""A data set of one's own: molecules and targets from anywhere, here computed."""

import numpy as np

from molgraph.molecules.reading.catalog import Target
from molgraph.molecules.reading.table import MoleculeTable


def alcohols() -> MoleculeTable:
    """Return linear alcohols with the number of their carbons as the target."""
    counts = range(1, 61)
    smiles = ["C" * count + "O" for count in counts]
    return MoleculeTable(
        name="alcohols",
        kind="regression",
        targets=(Target("carbons", unit="", meaning="number of carbon atoms"),),
        header=["smiles", "carbons"],
        rows=[[text, str(count)] for text, count in zip(smiles, counts, strict=True)],
        lines=list(range(2, 62)),
        smiles=smiles,
        values=np.array(counts, dtype=float)[:, None],
    )
