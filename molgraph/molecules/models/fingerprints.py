"""Whole molecules to numbers: ``SMILES -> RDKit 2D descriptors and Morgan counts``, computed in parallel and cached."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import Descriptors, rdFingerprintGenerator
from rich.console import Console

from molgraph.molecules.graphs.cache import cached, content_key
from molgraph.molecules.reading.parallel import map_chunks
from molgraph.molecules.reading.smiles import Standardization, parse, parse_valid

MORGAN_BITS = 2048
MORGAN_RADIUS = 2

# Ipc and AvgIpc overflow on large molecules and take half of the time of all others; qed is made of the others.
_LEFT_OUT = frozenset(("Ipc", "AvgIpc", "qed"))
DESCRIPTORS = tuple((name, function) for name, function in Descriptors.descList if name not in _LEFT_OUT)
"""Names and functions of the 2D descriptors of this RDKit."""

LARGEST = 1e6
"""Descriptors are cut to this magnitude; a few grow without bound."""


class VectorSet:
    """What data sets of one vector a molecule share: nothing is padded, and all molecules cost the same."""

    padded: ClassVar[bool] = False

    def __len__(self) -> int:
        """Return the number of molecules."""
        raise NotImplementedError

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Every molecule costs the same."""
        return np.ones(len(self), dtype=np.int64)

    def for_epoch(self, number: int) -> Self:
        """Return the same molecules: a fingerprint is not augmented."""
        return self


def morgan_counts(mol: Chem.Mol, radius: int = MORGAN_RADIUS, bits: int = MORGAN_BITS) -> NDArray[np.uint8]:
    """Return how often each hashed circular substructure occurs (Rogers & Hahn 2010), ``[bits]``, at most 255."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
    return np.minimum(generator.GetCountFingerprintAsNumPy(mol), 255).astype(np.uint8)


def descriptors(mol: Chem.Mol) -> NDArray[np.float32]:
    """Return the RDKit 2D descriptors ``[len(DESCRIPTORS)]``; one that is not defined for the molecule is 0."""
    values = np.zeros(len(DESCRIPTORS))
    for column, (_, function) in enumerate(DESCRIPTORS):
        try:
            values[column] = function(mol)
        except (ValueError, ZeroDivisionError, RuntimeError, OverflowError):
            continue  # such as partial charges of a metal: unknown to RDKit
    return np.clip(np.nan_to_num(values, posinf=LARGEST, neginf=-LARGEST), -LARGEST, LARGEST).astype(np.float32)


def fingerprint_chunk(mols: Sequence[Chem.Mol]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return Morgan counts ``[M, MORGAN_BITS]`` and descriptors ``[M, len(DESCRIPTORS)]`` of molecules."""
    counts = np.array([morgan_counts(mol) for mol in mols], dtype=np.uint8).reshape(-1, MORGAN_BITS)
    return counts, np.array([descriptors(mol) for mol in mols], dtype=np.float32).reshape(-1, len(DESCRIPTORS))


@lru_cache(maxsize=1)
def read_fingerprints(
    smiles: tuple[str, ...], standardization: Standardization
) -> tuple[list[Chem.Mol], dict[int, str], tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    """Return valid molecules, the reason of each bad row, and fingerprints, kept for the next model that reads them."""
    mols, errors = parse_valid(smiles, standardization)
    return mols, errors, fingerprint_chunk(mols)


Row = tuple[NDArray[np.uint8], NDArray[np.float32]]
_SEEN: dict[Standardization, dict[str, Row]] = {}
"""Fingerprints that this process has in memory: the training part and each fold of a table are parts of it."""
REMEMBERED = 20_000
"""Molecules to remember at most, 60 MB."""


def _stacked(rows: Sequence[Row]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    counts = np.array([counts for counts, _ in rows], dtype=np.uint8).reshape(-1, MORGAN_BITS)
    return counts, np.array([values for _, values in rows], dtype=np.float32).reshape(-1, len(DESCRIPTORS))


class _Fingerprint:
    def __init__(self, standardization: Standardization) -> None:
        self.standardization = standardization

    def __call__(self, smiles: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        return fingerprint_chunk([parse(text, self.standardization) for text in smiles])


def fingerprints(
    smiles: Sequence[str],
    standardization: Standardization,
    workers: int | None = None,
    console: Console | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return Morgan counts and descriptors of a data set, from the cache where an earlier run has computed them.

    Args:
        smiles: valid SMILES.
        standardization: hydrogens, salts, stereo.
        workers: processes; None takes all cores.
        console: where progress is shown.
    """
    known = _SEEN.setdefault(standardization, {})
    if all(text in known for text in smiles):
        return _stacked([known[text] for text in smiles])

    def compute() -> dict[str, NDArray[Any]]:
        new = [text for text in dict.fromkeys(smiles) if text not in known]
        found = map_chunks(_Fingerprint(standardization), new, workers, "computing descriptors", console, chunk=100)
        rows = dict(zip(new, (row for chunk in found for row in zip(*chunk, strict=True)), strict=True))
        counts, values = _stacked([rows[text] if text in rows else known[text] for text in smiles])
        return {"counts": counts, "descriptors": values}

    key = content_key(
        rdBase.rdkitVersion,
        standardization,
        MORGAN_RADIUS,
        MORGAN_BITS,
        [name for name, _ in DESCRIPTORS],
        texts=smiles,
    )
    arrays = cached("fingerprints", key, compute)
    counts, values = arrays["counts"], arrays["descriptors"]
    if len(known) + len(smiles) <= REMEMBERED:
        known.update(zip(smiles, zip(counts, values, strict=True), strict=True))
    return counts, values
