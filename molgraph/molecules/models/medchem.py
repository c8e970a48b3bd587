"""What a chemist would say of a molecule: ``SMILES -> MOSES' filters, synthetic accessibility``."""

import functools
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import RDConfig
from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

from molgraph.molecules.reading.parallel import map_chunks

MEDICINAL = (
    "[#6]=&!@[#6]-[#6]#[#7]",
    "[#6]=&!@[#6]-[#16](=[#8])=[#8]",
    "[#6]=&!@[#6&!H0]-&!@[#6](=[#8])-&!@[#7]",
    "[H]C([H])([#6])[F,Cl,Br,I]",
    "[#6]1-[#8]-[#6]-1",
    "[#6]-[#7]=[#6]=[#8]",
    "[#6&!H0]=[#8]",
    "[#6](=&!@[#7&!H0])-&!@[#6,#7,#8,#16]",
    "[#6]1-[#7]-[#6]-1",
    "[#6]~&!@[#7]~&!@[#7]~&!@[#6]",
    "[#7]=&!@[#7]",
    "[H][#6]-1=[#6]([H])-[#6]=[#6](-*)-[#8]-1",
    "[H][#6]-1=[#6]([H])-[#6]=[#6](-*)-[#16]-1",
    "[#17,#35,#53]-c(:*):[!#1!#6]:*",
    "[H][#7]([H])-[#6]-1=[#6]-[#6]=[#6]-[#6]=[#6]-1",
    "[#16]~[#16]",
    "[#7]~&!@[#7]~&!@[#7]",
    "[#7]-&!@[#6&!H0&!H1]-&!@[#7]",
    "[#6&!H0](-&!@[#8])-&!@[#8]",
    "[#35].[#35].[#35]",
    "[#17].[#17].[#17].[#17]",
    "[#9].[#9].[#9].[#9].[#9].[#9].[#9]",
)
"""The medicinal chemistry filters of MOSES (Polykovskiy et al. 2020; ``mcf.csv`` of molsets 0.3.1, MIT)."""

ELEMENTS = frozenset(("C", "N", "S", "O", "F", "Cl", "Br", "H"))
"""All that a molecule of MOSES is made of."""
LARGEST_RING = 7
"""Atoms of a ring at most."""


def passes_filters(mol: Chem.Mol) -> bool:
    """Return whether a molecule passes the filters by which MOSES was made from ZINC.

    No charge, no element but :data:`ELEMENTS`, no ring of 8 atoms or more, none of :data:`MEDICINAL`, and no pan-assay
    interference pattern (PAINS, Baell & Holloway 2010).
    """
    if any(len(ring) > LARGEST_RING for ring in mol.GetRingInfo().AtomRings()):
        return False
    if any(atom.GetFormalCharge() or atom.GetSymbol() not in ELEMENTS for atom in mol.GetAtoms()):
        return False
    explicit = Chem.AddHs(mol)  # some patterns name hydrogens
    return not any(map(explicit.HasSubstructMatch, _patterns())) and not _pains().HasMatch(mol)


def synthetic_accessibility(mol: Chem.Mol) -> float:
    """Return the SA score, 1 (easy) to 10 (hard to make), of Ertl & Schuffenhauer 2009, as RDKit's Contrib has it."""
    return float(_sascorer().calculateScore(mol))


class _Judge:
    """Filters and SA score of many SMILES; runs in worker processes."""

    def __call__(self, smiles: Sequence[str]) -> list[tuple[float, float]]:
        mols = map(Chem.MolFromSmiles, smiles)
        return [(float(passes_filters(mol)), synthetic_accessibility(mol)) for mol in mols]


def judge_molecules(smiles: Sequence[str], workers: int | None = 0) -> NDArray[np.float64]:
    """Return whether each molecule passes the filters, and its SA score ``[M, 2]``.

    Args:
        smiles: valid SMILES.
        workers: processes; None takes all cores, 0 this one.
    """
    rows = [row for part in map_chunks(_Judge(), smiles, workers, "filtering molecules") for row in part]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


@functools.cache
def _patterns() -> tuple[Chem.Mol, ...]:
    return tuple(map(Chem.MolFromSmarts, MEDICINAL))


@functools.cache
def _pains() -> FilterCatalog:
    chosen = FilterCatalogParams()
    chosen.AddCatalog(FilterCatalogParams.FilterCatalogs.PAINS)
    return FilterCatalog(chosen)


@functools.cache
def _sascorer() -> Any:
    """Load RDKit's script, which is not in a package."""
    path = Path(RDConfig.RDContribDir) / "SA_Score" / "sascorer.py"
    spec = importlib.util.spec_from_file_location("molgraph_sascorer", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ModuleNotFoundError(f"this RDKit has no SA score ({path}); install rdkit from PyPI or conda-forge")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
