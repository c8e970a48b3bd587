"""Molecules to graphs: ``SMILES -> mol -> codes -> MoleculeGraphs -> batch -> GraphBatch | DGLGraph``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from rdkit import Chem

from molgraph.molecules.graphs.arrays import MoleculeGraphs, assemble, concatenate
from molgraph.molecules.graphs.binary import codes_by_binary, is_understood
from molgraph.molecules.graphs.features import codes_by_getters
from molgraph.molecules.reading.smiles import InvalidSmiles, Standardization, parse, parse_valid
from molgraph.nn.graph import to_dgl

if TYPE_CHECKING:
    import dgl

CHUNK = 1000
"""Molecules whose arrays are made at once: enough to hide NumPy's calls, few enough for the cache."""
FEW = 8
"""Below this number of molecules, asking each atom is faster than the arrays."""


def featurize(mols: Sequence[Chem.Mol], has_stereo: Sequence[bool] | None = None) -> MoleculeGraphs:
    """Turn molecules into flat arrays.

    Args:
        mols: sanitized molecules.
        has_stereo: for each molecule, whether it may hold stereo marks; by default all may.
    """
    marks = [True] * len(mols) if has_stereo is None else has_stereo
    if len(mols) < FEW or not is_understood():
        return assemble(codes_by_getters(mols, marks))
    starts = range(0, len(mols), CHUNK)
    chunks = [(mols[i : i + CHUNK], marks[i : i + CHUNK]) for i in starts]
    return _joined([_by_binary(list(map(Chem.Mol.ToBinary, part)), part, stereo) for part, stereo in chunks])


def featurize_valid(
    smiles: Sequence[str], standardization: Standardization | None = None
) -> tuple[MoleculeGraphs, dict[int, str]]:
    """Turn the valid ones among many SMILES into flat arrays.

    Args:
        smiles: any texts.
        standardization: hydrogens, salts and stereo.

    Returns:
        The molecules in order, and for the number of each other text the reason why it is none.
    """
    if len(smiles) < FEW or not is_understood():
        mols, errors = parse_valid(smiles, standardization)
        return featurize(mols, [has_stereo_marks(text) for row, text in enumerate(smiles) if row not in errors]), errors
    errors = {}
    parts = [_read_chunk(smiles, start, standardization, errors) for start in range(0, len(smiles), CHUNK)]
    return _joined(parts), errors


def _read_chunk(
    smiles: Sequence[str], start: int, standardization: Standardization | None, errors: dict[int, str]
) -> MoleculeGraphs:
    """Read up to ``CHUNK`` SMILES from ``start`` on; what is invalid goes to ``errors``."""
    texts: list[bytes] = []
    mols: list[Chem.Mol | None] = []
    marks: list[bool] = []
    for number, text in enumerate(smiles[start : start + CHUNK], start):
        try:
            mol = parse(text, standardization)
        except InvalidSmiles as error:
            errors[number] = error.reason
            continue
        # At once, while the molecule lies in the cache, and then it may go: only labels of chirality need it again.
        texts.append(mol.ToBinary())
        mols.append(mol if "@" in text else None)
        marks.append(has_stereo_marks(text))
    return _by_binary(texts, mols, marks)


def _by_binary(texts: list[bytes], mols: Sequence[Chem.Mol | None], has_stereo: Sequence[bool]) -> MoleculeGraphs:
    """Read binary forms; a molecule without chiral atoms may be None."""
    codes, known = codes_by_binary(texts, mols)
    if known.all():
        return assemble(codes)
    rest = np.flatnonzero(~known).tolist()
    strangers = [mols[i] or Chem.Mol(texts[i]) for i in rest]  # type: ignore[call-overload]  # the stubs say str
    asked = codes_by_getters(strangers, [has_stereo[i] for i in rest])
    both = concatenate([assemble(codes), assemble(asked)])
    return both.take(np.argsort(np.concatenate([np.flatnonzero(known), rest])))


def _joined(parts: list[MoleculeGraphs]) -> MoleculeGraphs:
    return parts[0] if len(parts) == 1 else concatenate(parts)


def featurize_smiles(smiles: Sequence[str], standardization: Standardization | None = None) -> MoleculeGraphs:
    """Turn SMILES into flat arrays, in this process.

    Raises:
        InvalidSmiles: RDKit rejects one of them.
    """
    graphs, errors = featurize_valid(smiles, standardization)
    for number, reason in errors.items():
        raise InvalidSmiles(smiles[number], reason)
    return graphs


def has_stereo_marks(smiles: str) -> bool:
    """Tell whether a SMILES writes down any stereochemistry."""
    return "@" in smiles or "/" in smiles or "\\" in smiles


def smiles_to_graph(smiles: str, standardization: Standardization | None = None) -> "dgl.DGLGraph":
    """Turn one SMILES into a ``DGLGraph``.

    Node data ``features`` is ``[atoms, ATOM_WIDTH]`` and edge data ``features`` ``[2 * bonds, BOND_WIDTH]``, float32;
    the columns are those of ``ATOM_FEATURES`` and ``BOND_FEATURES`` in :mod:`molgraph.molecules.graphs.features`. Each
    bond is two edges, sorted by destination.

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
