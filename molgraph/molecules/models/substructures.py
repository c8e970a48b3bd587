"""How often substructures of four kinds occur: ``SMILES -> sparse counts, cached -> dense batch [B, WIDTH]``.

Several kinds see what one of them misses: atoms with their surroundings, the same by what an atom can do (donor,
acceptor, ring ...), pairs of atoms at a distance, and chains of four atoms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem, rdBase
from rdkit.Chem import rdFingerprintGenerator
from rich.console import Console
from torch import Tensor

from molgraph.molecules.graphs.cache import cached, content_key
from molgraph.molecules.models.fingerprints import VectorSet
from molgraph.molecules.reading.parallel import map_chunks
from molgraph.molecules.reading.smiles import Standardization, parse, parse_valid

KINDS = ("circular", "features", "pairs", "torsions")
"""Kinds of substructures, in the order of their columns."""
BITS = 4096
"""Columns of each kind."""
WIDTH = len(KINDS) * BITS
MOST = 31
"""A count is cut here: a long chain is not worth a hundred rings."""

GENERATORS: dict[str, Callable[[], Any]] = {
    "circular": lambda: rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=BITS, includeChirality=True),
    "features": lambda: rdFingerprintGenerator.GetMorganGenerator(
        radius=3, fpSize=BITS, atomInvariantsGenerator=rdFingerprintGenerator.GetMorganFeatureAtomInvGen()
    ),
    "pairs": lambda: rdFingerprintGenerator.GetAtomPairGenerator(fpSize=BITS),
    "torsions": lambda: rdFingerprintGenerator.GetTopologicalTorsionGenerator(fpSize=BITS),
}
"""Makes the generator of each kind."""
CENTERED = {"circular": 2, "features": 3}
"""Kinds whose substructures are an atom and what is around it, with their radius."""


@cache
def generator(kind: str) -> Any:
    """Return RDKit's generator of one kind."""
    return GENERATORS[kind]()


@dataclass(frozen=True)
class SubstructureCounts(VectorSet):
    """A data set as a kernel reads it: the columns that occur in each molecule, and how often."""

    starts: NDArray[np.int64]
    """Where each molecule's entries begin ``[M + 1]``."""
    columns: NDArray[np.uint16]
    """Column of each entry, below :data:`WIDTH`."""
    counts: NDArray[np.uint8]
    """How often it occurs, at most :data:`MOST`."""

    def __len__(self) -> int:
        """Return the number of molecules."""
        return len(self.starts) - 1

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> Tensor:
        """Gather molecules into dense counts ``[B, WIDTH]``, uint8."""
        dense = np.zeros((len(indices), WIDTH), dtype=np.uint8)
        for row, molecule in enumerate(indices):
            entries = slice(self.starts[molecule], self.starts[molecule + 1])
            dense[row, self.columns[entries]] = self.counts[entries]
        return torch.from_numpy(dense)


def count_chunk(mols: Sequence[Chem.Mol]) -> SubstructureCounts:
    """Count the substructures of molecules."""
    columns, counts, starts = [], [], [0]
    for mol in mols:
        for offset, kind in enumerate(KINDS):
            found = generator(kind).GetCountFingerprint(mol).GetNonzeroElements()
            columns += [offset * BITS + bit for bit in found]
            counts += [min(count, MOST) for count in found.values()]
        starts.append(len(columns))
    return SubstructureCounts(np.array(starts), np.array(columns, np.uint16), np.array(counts, np.uint8))


def counts_without(mol: Chem.Mol) -> Tensor:
    """Return the counts of a molecule without the substructures that each atom takes part in ``[A, WIDTH]``, uint8."""
    without = np.zeros((mol.GetNumAtoms(), WIDTH), dtype=np.uint8)
    for offset, kind in enumerate(KINDS):
        part = without[:, offset * BITS : (offset + 1) * BITS]
        for atom, found in enumerate(_each_without(mol, kind)):
            for bit, count in found.items():
                part[atom, bit] = min(count, MOST)
    return torch.from_numpy(without)


def _each_without(mol: Chem.Mol, kind: str) -> list[dict[int, int]]:
    """Return, for each atom, how often each bit occurs without it."""
    atoms = range(mol.GetNumAtoms())
    if kind not in CENTERED:
        return [generator(kind).GetCountFingerprint(mol, ignoreAtoms=[a]).GetNonzeroElements() for a in atoms]
    output = rdFingerprintGenerator.AdditionalOutput()
    output.AllocateBitInfoMap()
    whole = generator(kind).GetCountFingerprint(mol, additionalOutput=output).GetNonzeroElements()
    without = [dict(whole) for _ in atoms]
    for bit, places in output.GetBitInfoMap().items():
        for center, radius in places:
            for atom in around(mol, center, radius):
                without[atom][bit] -= 1
    return without


def around(mol: Chem.Mol, center: int, radius: int) -> set[int]:
    """Return the atoms within ``radius`` bonds."""
    bonds = (mol.GetBondWithIdx(bond) for bond in Chem.FindAtomEnvironmentOfRadiusN(mol, radius, center))
    return {center} | {atom for bond in bonds for atom in (bond.GetBeginAtomIdx(), bond.GetEndAtomIdx())}


@dataclass(frozen=True)
class SubstructureFeaturizer:
    """Any SMILES to counts, bad ones reported; runs in worker processes."""

    standardization: Standardization
    """What was done to the molecules of the training data."""

    def __call__(self, smiles: Sequence[str]) -> tuple[SubstructureCounts, dict[int, str]]:
        """Return the valid molecules in order, and for each bad row its reason."""
        mols, errors = parse_valid(smiles, self.standardization)
        return count_chunk(mols), errors


class _Count:
    def __init__(self, standardization: Standardization) -> None:
        self.standardization = standardization

    def __call__(self, smiles: Sequence[str]) -> SubstructureCounts:
        return count_chunk([parse(text, self.standardization) for text in smiles])


def substructure_counts(
    smiles: Sequence[str], standardization: Standardization, workers: int | None = None, console: Console | None = None
) -> SubstructureCounts:
    """Return the counts of a data set, from the cache where an earlier run has computed them.

    Args:
        smiles: valid SMILES.
        standardization: hydrogens, salts, stereo.
        workers: processes; None takes all cores.
        console: where progress is shown.
    """

    def compute() -> dict[str, NDArray[Any]]:
        parts = list(map_chunks(_Count(standardization), smiles, workers, "counting substructures", console))
        lengths = np.concatenate([np.diff(part.starts) for part in parts])
        return {
            "starts": np.concatenate([[0], np.cumsum(lengths)]),
            "columns": np.concatenate([part.columns for part in parts]),
            "counts": np.concatenate([part.counts for part in parts]),
        }

    key = content_key(rdBase.rdkitVersion, standardization, KINDS, BITS, MOST, texts=smiles)
    return SubstructureCounts(**cached("substructures", key, compute))
