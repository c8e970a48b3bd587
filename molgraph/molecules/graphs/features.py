"""Atoms and bonds to numbers: ``rdkit.Atom -> code tuple -> one row of features``.

A code is a small tuple of integers; one table says what each column of a row is. A thousand molecules share about two
hundred atom codes and a dozen bond codes, so a data set keeps a vocabulary and an integer for each atom and bond.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

Ints = NDArray[np.int32]

FEATURES_VERSION = 2
"""Part of every cache key: raise it when a feature changes, and no old cache is read."""


@dataclass(frozen=True)
class Feature:
    """A property of an atom or bond as a one-hot block; a value that is not listed sets its last column, ``other``."""

    name: str
    """What is measured."""
    values: tuple[int, ...]
    """Values with a column of their own; empty for a yes-or-no feature, which has a single column."""

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.values) + 1 if self.values else 1

    def row(self, value: int) -> list[float]:
        """Return the columns for one value."""
        if not self.values:
            return [float(value)]
        position = self.values.index(value) if value in self.values else len(self.values)
        return [float(column == position) for column in range(self.width)]


_HYBRIDIZATIONS = tuple(
    int(getattr(Chem.HybridizationType, name)) for name in ("S", "SP", "SP2", "SP3", "SP2D", "SP3D", "SP3D2")
)
_NOT_CHIRAL, _R, _S, _UNLABELLED = range(4)
_LABELS = {"R": _R, "S": _S}
_BOND_TYPES = tuple(int(getattr(Chem.BondType, name)) for name in ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC"))
_BOND_STEREOS = tuple(int(getattr(Chem.BondStereo, f"STEREO{name}")) for name in ("NONE", "Z", "E", "CIS", "TRANS"))

ATOM_FEATURES = (
    Feature("atomic number", tuple(range(1, 101))),
    Feature("neighbours, hydrogens included", (0, 1, 2, 3, 4, 5, 6)),
    Feature("formal charge", (-2, -1, 0, 1, 2)),
    Feature("hydrogens", (0, 1, 2, 3, 4)),
    Feature("hybridization", _HYBRIDIZATIONS),
    Feature("aromatic", ()),
    Feature("chirality: none, R, S", (_NOT_CHIRAL, _R, _S)),
    Feature("smallest ring", (0, 3, 4, 5, 6, 7, 8)),
)
"""The blocks of an atom's row, in order. "Smallest ring" is 0 outside rings."""

BOND_FEATURES = (
    Feature("order", _BOND_TYPES),
    Feature("conjugated", ()),
    Feature("in a ring", ()),
    Feature("stereo", _BOND_STEREOS),
)
"""The blocks of a bond's row, in order."""

ATOM_WIDTH = sum(feature.width for feature in ATOM_FEATURES)
"""Columns of an atom's row."""
BOND_WIDTH = sum(feature.width for feature in BOND_FEATURES)
"""Columns of a bond's row."""

_SINGLE, _DOUBLE, _TRIPLE, _AROMATIC = _BOND_TYPES
_ORDER_TO_TYPE = defaultdict(int, {1.0: _SINGLE, 2.0: _DOUBLE, 3.0: _TRIPLE, 1.5: _AROMATIC})


@dataclass(frozen=True)
class Codes:
    """Codes of the atoms and bonds of many molecules, molecule after molecule."""

    atoms: Ints
    """``[A, 8]``, columns as in :data:`ATOM_FEATURES`."""
    bonds: Ints
    """``[D, 4]``, columns as in :data:`BOND_FEATURES`."""
    ends: NDArray[np.int64]
    """The two atoms of each bond, counted within its molecule ``[2, D]``."""
    atom_counts: NDArray[np.int64]
    """Atoms of each molecule ``[M]``."""
    bond_counts: NDArray[np.int64]
    """Bonds of each molecule ``[M]``."""

    @classmethod
    def empty(cls) -> "Codes":
        """Return the codes of no molecules."""
        return codes_by_getters([], [])


def codes_by_getters(mols: Sequence[Chem.Mol], has_stereo: Sequence[bool]) -> Codes:
    """Return the codes of sanitized molecules, asking each atom and bond.

    Args:
        mols: sanitized molecules.
        has_stereo: for each molecule, whether it may hold stereo marks; False spares asking.
    """
    atoms: list[tuple[int, ...]] = []
    bonds: list[tuple[int, ...]] = []
    ends: tuple[list[int], list[int]] = ([], [])
    counts = []
    for mol, stereo in zip(mols, has_stereo, strict=True):
        codes = atom_codes(mol, stereo)
        begin, end, bond = bond_codes(mol, stereo, NONMETALS.issuperset([code[0] for code in codes]))
        atoms += codes
        bonds += bond
        ends[0].extend(begin)
        ends[1].extend(end)
        counts.append((len(codes), len(bond)))
    sizes = np.array(counts, dtype=np.int64).reshape(len(counts), 2)
    return Codes(
        np.array(atoms, dtype=np.int32).reshape(len(atoms), len(ATOM_FEATURES)),
        np.array(bonds, dtype=np.int32).reshape(len(bonds), len(BOND_FEATURES)),
        np.array(ends, dtype=np.int64),
        sizes[:, 0],
        sizes[:, 1],
    )


def atom_codes(mol: Chem.Mol, has_stereo: bool = True) -> list[tuple[int, ...]]:
    """Return one code for each atom, in the order of :data:`ATOM_FEATURES`.

    Args:
        mol: sanitized molecule.
        has_stereo: False promises that no atom is chiral, and spares asking each.
    """
    count = mol.GetNumAtoms()
    atoms = list(map(mol.GetAtomWithIdx, range(count)))
    atom = Chem.Atom
    # Column by column: `map` over a C++ getter has no Python frame for each atom.
    columns: list[Iterable[int]] = [
        map(atom.GetAtomicNum, atoms),
        map(atom.GetTotalDegree, atoms),
        map(atom.GetFormalCharge, atoms),
        map(atom.GetTotalNumHs, atoms),
        map(int, map(atom.GetHybridization, atoms)),
        map(atom.GetIsAromatic, atoms),
        map(chirality, atoms) if has_stereo else [_NOT_CHIRAL] * count,
        smallest_rings(mol),
    ]
    return list(zip(*columns, strict=True))


def chirality(atom: Chem.Atom) -> int:
    """Return the label of Cahn, Ingold and Prelog: unlike clockwise or not, it is the same in every order of atoms."""
    return _NOT_CHIRAL if atom.GetChiralTag() == Chem.ChiralType.CHI_UNSPECIFIED else label(atom)


def label(atom: Chem.Atom) -> int:
    """Return the label of an atom with a mark of chirality."""
    return _LABELS.get(atom.GetProp("_CIPCode"), _UNLABELLED) if atom.HasProp("_CIPCode") else _UNLABELLED


def smallest_rings(mol: Chem.Mol) -> list[int]:
    """Return the size of the smallest ring of each atom, 0 outside rings."""
    sizes = [0] * mol.GetNumAtoms()
    rings = mol.GetRingInfo().AtomRings()
    for ring in sorted(rings, key=len, reverse=True):
        for atom in ring:
            sizes[atom] = len(ring)
    return sizes


def bond_codes(
    mol: Chem.Mol, has_stereo: bool = True, plain: bool = False
) -> tuple[list[int], list[int], list[tuple[int, ...]]]:
    """Return the two ends of each bond and one code for each, in the order of :data:`BOND_FEATURES`.

    Args:
        mol: sanitized molecule.
        plain: True promises that all bonds are single, double, triple or aromatic, as they are among nonmetals.
        has_stereo: False promises that no double bond is marked, and spares asking each.
    """
    count = mol.GetNumBonds()
    bonds = list(map(mol.GetBondWithIdx, range(count)))
    bond = Chem.Bond
    if plain:
        # The order is a number, four times cheaper to read than the type, an enum.
        types: Iterable[int] = map(_ORDER_TO_TYPE.__getitem__, map(bond.GetBondTypeAsDouble, bonds))
    else:
        types = map(int, map(bond.GetBondType, bonds))
    columns: list[Iterable[int]] = [
        types,
        map(bond.GetIsConjugated, bonds),
        map(bond.IsInRing, bonds),
        map(int, map(bond.GetStereo, bonds)) if has_stereo else [0] * count,
    ]
    begin, end = list(map(bond.GetBeginAtomIdx, bonds)), list(map(bond.GetEndAtomIdx, bonds))
    return begin, end, list(zip(*columns, strict=True))


NONMETALS = frozenset((1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 33, 34, 35, 53))
"""Elements whose bonds RDKit never makes dative."""


def rows(codes: Sequence[tuple[int, ...]], features: Sequence[Feature]) -> np.ndarray:
    """Write codes out as feature rows, float32 ``[len(codes), width]``."""
    width = sum(feature.width for feature in features)
    table = [
        [column for feature, value in zip(features, code, strict=True) for column in feature.row(int(value))]
        for code in codes
    ]
    return np.array(table, dtype=np.float32).reshape(len(codes), width)


def describe(features: Sequence[Feature]) -> list[str]:
    """Return the name of each column.

    >>> describe(BOND_FEATURES)[:3]
    ['order=1', 'order=2', 'order=3']
    """
    names: list[str] = []
    for feature in features:
        if feature.values:
            names += [f"{feature.name}={value}" for value in feature.values] + [f"{feature.name}=other"]
        else:
            names.append(feature.name)
    return names


class CodeBook(dict[Any, int]):
    """A vocabulary: gives each new code the next number when it is asked for."""

    def __missing__(self, code: Any) -> int:
        """Give a number to a code that is seen for the first time."""
        self[code] = number = len(self)
        return number
