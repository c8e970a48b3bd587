"""Molecules to graphs: ``SMILES -> featurize -> MoleculeGraphs (flat arrays) -> batch -> GraphBatch | DGLGraph``.

All molecules of a data set lie end to end in a few flat arrays: one small integer for each atom and bond (into a
vocabulary of feature rows), the ends of each directed edge sorted by destination, the index of its reverse, and the
offsets of each molecule. About 0.5 KB a molecule; a batch is a gather of slices and makes no object per molecule.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from molgraph.molecules.features import (
    ATOM_FEATURES,
    BOND_FEATURES,
    NONMETALS,
    CodeBook,
    atom_codes,
    bond_codes,
    rows,
)
from molgraph.molecules.smiles import Standardization, parse
from molgraph.nn.graph import Features, GraphBatch, to_dgl

if TYPE_CHECKING:
    import dgl
    from rdkit import Chem

Ints = NDArray[np.int32]


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
        base = np.repeat(atom_starts[:-1], edge_counts)
        dst = self.dst[edges] + base
        atom_table, bond_table = tables or self.tables()
        offsets = np.zeros(len(atoms) + 1, dtype=np.int64)
        np.cumsum(np.bincount(dst, minlength=len(atoms)), out=offsets[1:])
        tensor = torch.from_numpy
        return GraphBatch(
            src=tensor(self.src[edges] + base),
            dst=tensor(dst),
            reverse=tensor(self.reverse[edges] + np.repeat(edge_starts[:-1], edge_counts)),
            offsets=tensor(offsets),
            node_features=Features(atom_table, tensor(self.atoms[atoms].astype(np.int64))),
            edge_features=Features(bond_table, tensor(self.edges[edges].astype(np.int64))),
            node_graph=tensor(np.repeat(np.arange(len(chosen)), atom_counts)),
            graph_offsets=tensor(atom_starts),
        )


def _slices(
    offsets: NDArray[np.int64], chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions in the chosen slices end to end, the length of each slice, and their new offsets."""
    begin = offsets[chosen]
    counts = offsets[chosen + 1] - begin
    starts = np.zeros(len(chosen) + 1, dtype=np.int64)
    np.cumsum(counts, out=starts[1:])
    return np.arange(starts[-1]) + np.repeat(begin - starts[:-1], counts), counts, starts


def featurize(mols: Sequence["Chem.Mol"], has_stereo: Sequence[bool] | None = None) -> MoleculeGraphs:
    """Turn molecules into flat arrays.

    Args:
        mols: sanitized molecules.
        has_stereo: for each molecule, whether it may hold stereo marks; by default all may.
    """
    atom_book, bond_book = CodeBook(), CodeBook()
    atoms: list[int] = []
    begins: list[int] = []
    ends: list[int] = []
    bonds: list[int] = []
    atom_counts, bond_counts = [], []
    for index, mol in enumerate(mols):
        stereo = True if has_stereo is None else has_stereo[index]
        codes = atom_codes(mol, stereo)
        begin, end, bond = bond_codes(mol, stereo, NONMETALS.issuperset([code[0] for code in codes]))
        atoms += map(atom_book.__getitem__, codes)
        bonds += map(bond_book.__getitem__, bond)
        begins += begin
        ends += end
        atom_counts.append(len(codes))
        bond_counts.append(len(bond))
    return _assemble(
        np.array(atoms, dtype=np.int32),
        np.array([begins, ends], dtype=np.int64),
        np.array(bonds, dtype=np.int32),
        (np.array(atom_counts, dtype=np.int64), np.array(bond_counts, dtype=np.int64)),
        (atom_book, bond_book),
    )


def _assemble(
    atoms: Ints,
    ends: NDArray[np.int64],
    bonds: Ints,
    counts: tuple[NDArray[np.int64], NDArray[np.int64]],
    books: tuple[CodeBook, CodeBook],
) -> MoleculeGraphs:
    """Direct the bonds both ways and sort them by destination, for all molecules at once."""
    atom_offsets, bond_offsets = _offsets(counts[0]), _offsets(counts[1])
    molecule = np.repeat(np.arange(len(counts[1])), counts[1])
    base = atom_offsets[molecule]
    begin, end = ends[0] + base, ends[1] + base
    src, dst = np.concatenate([begin, end]), np.concatenate([end, begin])
    total = max(1, len(atoms))
    order = np.argsort(dst * total + src, kind="stable")
    position = np.empty_like(order)
    position[order] = np.arange(len(order))
    reverse = position[(order + len(begin)) % max(1, len(order))]
    owner = np.concatenate([molecule, molecule])[order]
    edge_offsets = 2 * bond_offsets
    return MoleculeGraphs(
        atom_offsets=atom_offsets,
        edge_offsets=edge_offsets,
        atoms=atoms,
        edges=np.concatenate([bonds, bonds])[order],
        src=(src[order] - atom_offsets[owner]).astype(np.int32),
        dst=(dst[order] - atom_offsets[owner]).astype(np.int32),
        reverse=(reverse - edge_offsets[owner]).astype(np.int32),
        atom_codes=_vocabulary(books[0], len(ATOM_FEATURES)),
        bond_codes=_vocabulary(books[1], len(BOND_FEATURES)),
    )


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


def featurize_smiles(smiles: Sequence[str], standardization: Standardization | None = None) -> MoleculeGraphs:
    """Turn SMILES into flat arrays, in this process.

    Raises:
        InvalidSmiles: RDKit rejects one of them.
    """
    mols = [parse(text, standardization) for text in smiles]
    return featurize(mols, [has_stereo_marks(text) for text in smiles])


def has_stereo_marks(smiles: str) -> bool:
    """Tell whether a SMILES writes down any stereochemistry."""
    return "@" in smiles or "/" in smiles or "\\" in smiles


def smiles_to_graph(smiles: str, standardization: Standardization | None = None) -> "dgl.DGLGraph":
    """Turn one SMILES into a ``DGLGraph``.

    Node data ``features`` is ``[atoms, ATOM_WIDTH]`` and edge data ``features`` ``[2 * bonds, BOND_WIDTH]``, float32;
    the columns are those of :data:`molgraph.molecules.features.ATOM_FEATURES` and ``BOND_FEATURES``. Each bond is two
    edges, sorted by destination.

    Args:
        smiles: one molecule.
        standardization: hydrogens, salts and stereo.

    Raises:
        InvalidSmiles: RDKit rejects the text.

    >>> graph = smiles_to_graph("CCO")
    >>> graph.num_nodes(), graph.num_edges()
    (3, 4)
    """
    return to_dgl(featurize_smiles([smiles], standardization).batch([0]))
