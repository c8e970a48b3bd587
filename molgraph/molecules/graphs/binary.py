"""RDKit's binary form of many molecules to codes: ``mols -> Mol.ToBinary -> bytes -> columns``, all of them at once.

A getter of RDKit costs more in Python than in RDKit: an object for each atom, a call for each value. One call gives a
molecule's binary form, in which every atom, bond and ring is a short record whose flags tell where it ends. NumPy walks
from record to record through many molecules in step, and then reads each value of all of them at once.

A record with a flag that is not known here (a query, a map number), and more than 255 atoms or rings, leave a molecule
to the getters. :func:`is_understood` compares the two ways once in each process: a future RDKit with another binary
form costs time, not correctness.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from molgraph.molecules.graphs.features import Codes, Ints, codes_by_getters, label

Bytes = NDArray[np.uint8]
Places = NDArray[np.int64]

_HEADER, _BONDS_FOLLOW, _RINGS_FOLLOW = 30, 0x0B, 0x42
_AROMATIC, _NO_IMPLICIT = 1 << 6, 1 << 5
_CHARGE, _CHIRAL, _HYBRID, _EXPLICIT_HS, _IMPLICIT_HS = 1, 2, 3, 4, 6
_CONJUGATED, _TYPED, _DIRECTED, _MARKED = 1 << 5, 1 << 3, 1 << 2, 1 << 1
_KNOWN_BOND_FLAGS = _AROMATIC | _CONJUGATED | _TYPED | _DIRECTED | _MARKED
_BOND_LENGTH = np.array([3 + (f >> 3 & 1) + (f >> 2 & 1) + 2 * (f >> 1 & 1) for f in range(256)], dtype=np.int64)
_ONES = np.array([number.bit_count() for number in range(256)], dtype=np.int64)
_SP3, _SINGLE = int(Chem.HybridizationType.SP3), int(Chem.BondType.SINGLE)

PROBES = ("C[N+](C)(C)CC([O-])=O", "N->[Cu+2]<-N", "F/C=C\\[C@H]([2H])Cl", "c1ccc2c(c1)[nH]cc2", "[Na+].[CH2]C#N")
"""Molecules with every kind of record, on which the two ways are compared."""


@dataclass(frozen=True)
class _Records:
    """Places of one kind of record, molecule after molecule, and where each molecule's last one ends."""

    places: Places
    molecule: Places
    ends: Places


@functools.cache
def is_understood() -> bool:
    """Tell whether this RDKit writes the binary form that is read here."""
    mols = [Chem.MolFromSmiles(text) for text in PROBES]
    found, known = codes_by_binary([mol.ToBinary() for mol in mols], mols)
    if not known.all():
        return False
    wanted = codes_by_getters(mols, [True] * len(mols))
    pairs = ((getattr(found, name), getattr(wanted, name)) for name in Codes.__dataclass_fields__)
    return all(np.array_equal(first, second) for first, second in pairs)


def codes_by_binary(texts: Sequence[bytes], mols: Sequence[Chem.Mol | None]) -> tuple[Codes, NDArray[np.bool_]]:
    """Return the codes of those molecules whose binary form is understood, and which ones these are.

    Args:
        texts: the binary form of each molecule.
        mols: the molecules; those without chiral atoms may be None.
    """
    known = np.ones(len(texts), dtype=bool)
    while True:
        chosen = np.flatnonzero(known).tolist()
        codes, good = _decode([texts[i] for i in chosen], [mols[i] for i in chosen])
        if good.all():
            return codes, known
        known[np.array(chosen)[~good]] = False


def _decode(texts: Sequence[bytes], mols: Sequence[Chem.Mol | None]) -> tuple[Codes, NDArray[np.bool_]]:
    """Read all molecules; where the second array is False, something is not understood and the codes are garbage."""
    data = np.frombuffer(b"".join(texts) + bytes(64), dtype=np.uint8)
    starts = np.cumsum([0, *map(len, texts)])[:-1]
    counts = [data[starts + at].astype(np.int64) for at in (20, 24)]
    # The counts are 4 bytes wide; the records have single bytes for atoms only up to 255 of them.
    good = sum(data[starts + at].astype(int) for at in (21, 22, 23, 25, 26, 27)) == 0
    atoms = _walk(data, starts + _HEADER, counts[0], _atom_length)
    bonds = _walk(data, atoms.ends + 1, counts[1], _bond_length)
    rings = _walk(data, bonds.ends + 5, data[bonds.ends + 1].astype(np.int64), _ring_length)
    good &= (data[atoms.ends] == _BONDS_FOLLOW) & (data[bonds.ends] == _RINGS_FOLLOW)
    good &= data[bonds.ends + 2] | data[bonds.ends + 3] | data[bonds.ends + 4] == 0
    good[atoms.molecule[_strange_atoms(data, atoms.places)]] = False
    good[bonds.molecule[data[bonds.places + 2] & ~np.uint8(_KNOWN_BOND_FLAGS) != 0]] = False
    ends = np.stack([data[bonds.places], data[bonds.places + 1]]).astype(np.int64)
    good[bonds.molecule[(ends >= counts[0][bonds.molecule]).any(axis=0)]] = False
    if not good.all():
        return Codes.empty(), good
    first = np.cumsum(counts[0]) - counts[0]
    ring_atoms, following = _ring_members(data, rings, first)
    atom_codes = _atom_codes(data, atoms.places, (ends + first[bonds.molecule]).ravel())
    atom_codes[:, 7] = _smallest(ring_atoms, data[rings.places], len(atom_codes))
    _label_chiral_atoms(atom_codes, mols, atoms.molecule, first)
    bond_codes = _bond_codes(data, bonds.places)
    bond_codes[:, 2] = _joined(ends + first[bonds.molecule], ring_atoms, following, len(atom_codes))
    return Codes(atom_codes, bond_codes, ends, counts[0], counts[1]), good


def _walk(data: Bytes, starts: Places, counts: Places, length: Callable[[Bytes, Places], Places]) -> _Records:
    """Go from record to record, ``counts`` of them in each molecule; ``length`` is that of the records at places."""
    steps, last = int(counts.max(initial=0)), len(data) - 64  # no walk through garbage leaves the array
    table = np.empty((steps + 1, len(starts)), dtype=np.int64)
    table[0] = places = np.minimum(starts, last)
    for step in range(steps):
        table[step + 1] = places = np.minimum(places + length(data, places), last)
    molecule = np.arange(len(counts))
    taken = np.arange(steps) < counts[:, None]
    return _Records(table[:-1].T[taken], np.repeat(molecule, counts), table[counts, molecule])


def _atom_length(data: Bytes, places: Places) -> Places:
    """Return a byte for each value that is not the usual one, four for an isotope."""
    return 6 + _ONES[data[places + 2]] + 4 * (data[places + 3] & 1)


def _bond_length(data: Bytes, places: Places) -> Places:
    """As long as its flags say; a marked double bond also names its reference atoms."""
    flags = data[places + 2]
    length = _BOND_LENGTH[flags]
    return length + data[places + length - 1] * (flags >> 1 & 1)


def _ring_length(data: Bytes, places: Places) -> Places:
    """Return a ring's size and its atoms."""
    return 1 + data[places].astype(np.int64)


def _strange_atoms(data: Bytes, places: Places) -> NDArray[np.bool_]:
    flags = data[places + 1] & ~np.uint8(_AROMATIC | _NO_IMPLICIT)
    return (flags | (data[places + 2] & 1) | (data[places + 3] & 254) | data[places + 4] | data[places + 5]) != 0


def _atom_codes(data: Bytes, places: Places, ends: Places) -> Ints:
    """Return the columns of atoms, but for chirality (here still RDKit's tag) and rings."""
    values = data[places + 2].astype(np.int64)

    def value(bit: int, default: int) -> NDArray[np.int64]:
        before = _ONES[values & ((1 << bit) - 1)]
        return np.where(values >> bit & 1, data[places + 6 + before], default).astype(np.int64)

    codes = np.zeros((len(places), 8), dtype=np.int32)
    hydrogens = value(_EXPLICIT_HS, 0) + value(_IMPLICIT_HS, 0)
    codes[:, 0] = data[places]
    codes[:, 1] = np.bincount(ends, minlength=len(places)) + hydrogens
    codes[:, 2] = value(_CHARGE, 0).astype(np.int8)
    codes[:, 3] = hydrogens
    codes[:, 4] = value(_HYBRID, _SP3)
    codes[:, 5] = data[places + 1] >> 6 & 1
    codes[:, 6] = value(_CHIRAL, 0)
    return codes


def _label_chiral_atoms(codes: Ints, mols: Sequence[Chem.Mol | None], molecule: Places, first: Places) -> None:
    """Replace the tags of chiral atoms, which depend on the order of atoms, by their labels, which do not."""
    places = np.flatnonzero(codes[:, 6])
    owners = molecule[places]
    for place, owner, atom in zip(places.tolist(), owners.tolist(), (places - first[owners]).tolist(), strict=True):
        mol = mols[owner]
        if mol is None:
            raise ValueError(f"molecule {owner} has chiral atoms; give it, not None, so that they can be labelled")
        codes[place, 6] = label(mol.GetAtomWithIdx(atom))


def _bond_codes(data: Bytes, places: Places) -> Ints:
    """Return the columns of bonds, but for rings."""
    flags = data[places + 2].astype(np.int64)
    typed, directed = flags >> 3 & 1, flags >> 2 & 1
    codes = np.zeros((len(places), 4), dtype=np.int32)
    codes[:, 0] = np.where(typed, data[places + 3], _SINGLE)
    codes[:, 1] = flags >> 5 & 1
    codes[:, 3] = np.where(flags & _MARKED, data[places + 3 + typed + directed], 0)
    return codes


def _ring_members(data: Bytes, rings: _Records, first: Places) -> tuple[Places, Places]:
    """Return the atoms of all rings, and beside each the atom that follows it in its ring."""
    sizes = data[rings.places].astype(np.int64)
    begins = np.cumsum(sizes) - sizes
    within = np.arange(sizes.sum()) - np.repeat(begins, sizes)
    base = np.repeat(first[rings.molecule], sizes)
    place = np.repeat(rings.places + 1, sizes)
    after = np.where(within + 1 == np.repeat(sizes, sizes), 0, within + 1)
    return base + data[place + within], base + data[place + after]


def _smallest(ring_atoms: Places, sizes: Bytes, count: int) -> NDArray[np.int64]:
    """Return the size of each atom's smallest ring, 0 outside rings."""
    smallest = np.full(count, 256)
    np.minimum.at(smallest, ring_atoms, np.repeat(sizes, sizes).astype(np.int64))
    return np.where(smallest == 256, 0, smallest)


def _joined(ends: Places, ring_atoms: Places, following: Places, count: int) -> NDArray[np.bool_]:
    """Tell for each bond whether its ends stand side by side in a ring."""
    keys, pairs = (
        np.minimum(first, second) * count + np.maximum(first, second)
        for first, second in (ends, (ring_atoms, following))
    )
    if len(pairs) == 0:
        return np.zeros(len(keys), dtype=bool)
    pairs = np.sort(pairs)
    return pairs[np.minimum(np.searchsorted(pairs, keys), len(pairs) - 1)] == keys
