"""Graphs of many molecules in flat arrays: ``codes -> assemble -> MoleculeGraphs -> batch -> GraphBatch``.

All molecules of a data set lie end to end in a few flat arrays: one small integer for each atom and bond (into a
vocabulary of feature rows), the ends of each directed edge sorted by destination, the index of its reverse, and the
offsets of each molecule. About 0.5 KB a molecule; a batch is a gather of slices and makes no object per molecule.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from molgraph.molecules.graphs.features import ATOM_FEATURES, BOND_FEATURES, CodeBook, Codes, Ints, rows
from molgraph.nn.graph import Features, GraphBatch, Kinds

EDGE_FIELDS = ("src", "dst", "reverse", "edges")
TABLE = 1 << 12
"""Codes are numbered column by column, as soon as there could be more different ones than this."""


@dataclass(frozen=True)
class MoleculeGraphs:
    """Graphs of many molecules in flat arrays."""

    atom_offsets: NDArray[np.int64]
    """First atom of each molecule ``[M + 1]``."""
    edge_offsets: NDArray[np.int64]
    """First directed edge of each molecule ``[M + 1]``."""
    atoms: Ints
    """Row of each atom in ``atom_table`` ``[A]``."""
    edges: Ints
    """Row of each directed edge in ``bond_table`` ``[E]``."""
    src: Ints
    """Source of each edge, counted within its molecule ``[E]``."""
    dst: Ints
    """Destination of each edge, counted within its molecule, ascending in each ``[E]``."""
    reverse: Ints
    """Index of each edge's reverse, counted within its molecule ``[E]``."""
    atom_codes: Ints
    """Vocabulary of atoms ``[V, 8]``, columns as in ``features.ATOM_FEATURES``."""
    bond_codes: Ints
    """Vocabulary of bonds ``[W, 4]``, columns as in ``features.BOND_FEATURES``."""

    _packed: ClassVar[Ints]  # set for each instance; a field it is not, because it only shows the fields together

    def __post_init__(self) -> None:
        """Lay what belongs to one edge side by side, so that a batch fetches it at once; the fields become views."""
        packed = np.stack([getattr(self, name) for name in EDGE_FIELDS], axis=1)
        for column, name in enumerate(EDGE_FIELDS):
            object.__setattr__(self, name, packed[:, column])
        object.__setattr__(self, "_packed", packed)

    @cached_property
    def first_edges(self) -> Ints:
        """First edge into each atom, counted within its molecule ``[A]``."""
        molecule = np.repeat(np.arange(len(self)), np.diff(self.edge_offsets))
        degrees = np.bincount(self.dst + self.atom_offsets[molecule], minlength=len(self.atoms))
        first = np.cumsum(degrees) - degrees
        return (first - np.repeat(self.edge_offsets[:-1], self.sizes)).astype(np.int32)

    @cached_property
    def kinds(self) -> tuple[Ints, NDArray[np.int64], NDArray[np.int64]]:
        """Distinct pairs of source and edge: the pair of each edge ``[E]``, and the two table rows of each pair."""
        molecule = np.repeat(np.arange(len(self)), np.diff(self.edge_offsets))
        sources = self.atoms[self.src + self.atom_offsets[molecule]].astype(np.int64)
        width = max(1, len(self.bond_codes))
        index, codes = _compact(sources * width + self.edges, len(self.atom_codes) * width)
        return index.astype(np.int32), codes // width, codes % width

    def __len__(self) -> int:
        """Return the number of molecules."""
        return len(self.atom_offsets) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Atoms of each molecule ``[M]``; batches of similar sizes are cheap."""
        return np.diff(self.atom_offsets)

    def tables(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the feature rows of the vocabularies: atoms ``[V, ATOM_WIDTH]`` and bonds ``[W, BOND_WIDTH]``."""
        atoms = rows([tuple(code) for code in self.atom_codes.tolist()], ATOM_FEATURES)
        bonds = rows([tuple(code) for code in self.bond_codes.tolist()], BOND_FEATURES)
        return torch.from_numpy(atoms), torch.from_numpy(bonds)

    def take(self, chosen: NDArray[np.int64]) -> "MoleculeGraphs":
        """Return some of the molecules, in any order, with the vocabularies of all."""
        atoms, atom_counts, _ = _slices(self.atom_offsets, chosen)
        edges, edge_counts, _ = _slices(self.edge_offsets, chosen)
        return replace(
            self,
            atom_offsets=_offsets(atom_counts),
            edge_offsets=_offsets(edge_counts),
            atoms=self.atoms[atoms],
            **dict(zip(EDGE_FIELDS, self._packed[edges].T, strict=True)),
        )

    def batch(
        self, indices: Sequence[int] | NDArray[np.int64], tables: tuple[torch.Tensor, torch.Tensor] | None = None
    ) -> GraphBatch:
        """Gather molecules into one :class:`~molgraph.nn.graph.GraphBatch`.

        Args:
            indices: molecules, in any order.
            tables: what :meth:`tables` returned, to make them once for many batches.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        atoms, atom_counts, atom_starts = _slices(self.atom_offsets, chosen)
        edges, edge_counts, edge_starts = _slices(self.edge_offsets, chosen)
        base, edge_base = np.repeat(atom_starts[:-1], edge_counts), np.repeat(edge_starts[:-1], edge_counts)
        rows = self._packed.take(edges, axis=0).T
        columns = np.empty((len(EDGE_FIELDS), len(edges)), dtype=np.int64)
        columns[:] = rows
        columns[:2] += base
        columns[2] += edge_base
        offsets = np.empty(len(atoms) + 1, dtype=np.int64)
        np.add(self.first_edges.take(atoms), np.repeat(edge_starts[:-1], atom_counts), out=offsets[:-1])
        offsets[-1] = len(edges)
        src, dst, reverse, bonds = map(torch.from_numpy, columns)
        pair_of_edge, pair_atoms, pair_bonds = self.kinds
        pairs, used = _compact(pair_of_edge.take(edges), len(pair_atoms))
        atom_table, bond_table = tables or self.tables()
        return GraphBatch(
            src=src,
            dst=dst,
            reverse=reverse,
            offsets=torch.from_numpy(offsets),
            node_features=Features(atom_table, torch.from_numpy(self.atoms.take(atoms).astype(np.int64))),
            edge_features=Features(bond_table, bonds),
            node_graph=torch.from_numpy(np.repeat(np.arange(len(chosen)), atom_counts)),
            graph_offsets=torch.from_numpy(atom_starts),
            kinds=Kinds(*map(torch.from_numpy, (pair_atoms[used], pair_bonds[used], pairs))),
        )


def _compact(codes: NDArray[np.int64] | Ints, bound: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count off the codes below ``bound`` that occur; return the number of each code, and the codes that occur."""
    occurs = np.zeros(bound, dtype=bool)
    occurs[codes] = True
    return (np.cumsum(occurs) - 1).take(codes), np.flatnonzero(occurs)


def _slices(
    offsets: NDArray[np.int64], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions in the chosen slices end to end, the length of each slice, and their new offsets."""
    begin = offsets[chosen]
    counts = offsets[chosen + 1] - begin
    starts = np.zeros(len(chosen) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return np.arange(starts[-1]) + np.repeat(begin - starts[:-1], counts), counts, starts


def assemble(codes: Codes) -> MoleculeGraphs:
    """Direct the bonds both ways and sort them by destination, for all molecules at once."""
    atom_offsets, bond_offsets = _offsets(codes.atom_counts), _offsets(codes.bond_counts)
    molecule = np.repeat(np.arange(len(codes.bond_counts)), codes.bond_counts)
    begin, end = codes.ends + atom_offsets[molecule]
    src, dst = np.concatenate([begin, end]), np.concatenate([end, begin])
    order = np.argsort(dst * max(1, len(codes.atoms)) + src)
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    reverse = position[(order + len(begin)) % max(1, len(order))]
    owner = np.concatenate([molecule, molecule])[order]
    edge_offsets = 2 * bond_offsets
    (atoms, atom_codes), (bonds, bond_codes) = _numbered(codes.atoms), _numbered(codes.bonds)
    return MoleculeGraphs(
        atom_offsets=atom_offsets,
        edge_offsets=edge_offsets,
        atoms=atoms,
        edges=np.concatenate([bonds, bonds])[order],
        src=(src[order] - atom_offsets[owner]).astype(np.int32),
        dst=(dst[order] - atom_offsets[owner]).astype(np.int32),
        reverse=(reverse - edge_offsets[owner]).astype(np.int32),
        atom_codes=atom_codes,
        bond_codes=bond_codes,
    )


def _numbered(codes: Ints) -> tuple[Ints, Ints]:
    """Return the number of each code in the vocabulary, and the vocabulary."""
    if len(codes) == 0:
        return np.zeros(0, dtype=np.int32), codes
    low = codes.min(axis=0)
    widths = (codes.max(axis=0) - low + 1).tolist()
    packed, span = np.zeros(len(codes), dtype=np.int64), 1
    for column, width in enumerate(widths):
        if span > TABLE:
            packed, chosen = _ranked(packed, span)
            span = len(chosen)
        packed, span = packed * width + (codes[:, column] - low[column]), span * width
    numbers, chosen = _ranked(packed, span)
    return numbers.astype(np.int32), codes[chosen]


def _ranked(values: NDArray[np.int64], span: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count off the distinct values, all below ``span``: the number of each value, and a place of each distinct one."""
    # Equal values write to one place of a table; whichever is last stands for all of them. Much faster than sorting.
    places, table = np.arange(len(values)), np.empty(span, dtype=np.int64)
    table[values] = places
    chosen = np.flatnonzero(table[values] == places)
    table[values[chosen]] = places[: len(chosen)]
    return table[values], chosen


def _offsets(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])


def _vocabulary(book: CodeBook, width: int) -> Ints:
    return np.array([tuple(map(int, code)) for code in book], dtype=np.int32).reshape(len(book), width)


def concatenate(parts: Sequence[MoleculeGraphs]) -> MoleculeGraphs:
    """Join data sets end to end; their vocabularies become one."""
    atom_book, bond_book = CodeBook(), CodeBook()
    atoms, edges = [], []
    for part in parts:
        atom_map = np.array([atom_book[tuple(code)] for code in part.atom_codes.tolist()], dtype=np.int32)
        bond_map = np.array([bond_book[tuple(code)] for code in part.bond_codes.tolist()], dtype=np.int32)
        atoms.append(atom_map[part.atoms])
        edges.append(bond_map[part.edges])

    def joined(name: str) -> NDArray[np.int32]:
        return np.concatenate([np.zeros(0, dtype=np.int32), *(getattr(part, name) for part in parts)])

    def offsets(name: str) -> NDArray[np.int64]:
        return _offsets(np.concatenate([np.zeros(0, dtype=np.int64), *(np.diff(getattr(p, name)) for p in parts)]))

    return MoleculeGraphs(
        atom_offsets=offsets("atom_offsets"),
        edge_offsets=offsets("edge_offsets"),
        atoms=np.concatenate([np.zeros(0, dtype=np.int32), *atoms]),
        edges=np.concatenate([np.zeros(0, dtype=np.int32), *edges]),
        src=joined("src"),
        dst=joined("dst"),
        reverse=joined("reverse"),
        atom_codes=_vocabulary(atom_book, len(ATOM_FEATURES)),
        bond_codes=_vocabulary(bond_book, len(BOND_FEATURES)),
    )
