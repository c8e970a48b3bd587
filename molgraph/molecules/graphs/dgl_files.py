"""Graphs that DGL made: ``dgl.save_graphs -> read_graphs -> MoleculeTable, DGLGraphs -> batches | DGLGraphs``.

A file holds molecules with ``features`` on nodes and edges, as ``molgraph.smiles_to_graph`` makes them, and labels: a
tensor for each target, and ``part`` (0 train, 1 val, 2 test) where the file brings its own split.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from molgraph.molecules.graphs.arrays import MoleculeGraphs
from molgraph.molecules.graphs.dataset import GraphSet, PropertyBatches
from molgraph.molecules.graphs.features import ATOM_FEATURES, ATOM_WIDTH, BOND_FEATURES, BOND_WIDTH
from molgraph.molecules.reading.catalog import Target
from molgraph.molecules.reading.splits import PARTS
from molgraph.molecules.reading.table import MoleculeTable
from molgraph.nn.graph import GraphBatch, from_dgl, import_dgl, to_dgl

if TYPE_CHECKING:
    import dgl

PART = "part"
"""The label that says to which part a graph belongs."""


@dataclass(frozen=True)
class FeatureGraphs(GraphSet):
    """Graphs with feature rows of their own, laid into the flat arrays of all molecules."""

    padded: ClassVar[bool] = False

    rows: tuple[torch.Tensor, torch.Tensor] = (torch.zeros(0, 0), torch.zeros(0, 0))
    """Distinct feature rows of nodes ``[V, ATOM_WIDTH]`` and of edges ``[W, BOND_WIDTH]``."""

    @classmethod
    def of(cls, graphs: "Sequence[dgl.DGLGraph]") -> "FeatureGraphs":
        """Lay graphs end to end.

        Raises:
            ValueError: a graph without ``features`` or of another width, or an edge without its reverse.
        """
        for number, graph in enumerate(graphs):
            check_features(graph, f"graph {number}")
        joined = from_dgl(import_dgl().batch(list(graphs)))
        nodes, atoms = joined.node_features.rows().unique(dim=0, return_inverse=True)
        edges, bonds = joined.edge_features.rows().unique(dim=0, return_inverse=True)
        owner = joined.node_graph[joined.dst]
        first_edge = joined.offsets[joined.graph_offsets]
        base = joined.graph_offsets[owner]
        arrays = MoleculeGraphs(
            atom_offsets=joined.graph_offsets.numpy(),
            edge_offsets=first_edge.numpy(),
            atoms=_ints(atoms),
            edges=_ints(bonds),
            src=_ints(joined.src - base),
            dst=_ints(joined.dst - base),
            reverse=_ints(joined.reverse - first_edge[owner]),
            # Only their numbers of rows count: the rows themselves are given.
            atom_codes=np.zeros((len(nodes), len(ATOM_FEATURES)), dtype=np.int32),
            bond_codes=np.zeros((len(edges), len(BOND_FEATURES)), dtype=np.int32),
        )
        return cls(arrays, (nodes, edges))

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> GraphBatch:
        """Gather graphs into one batch."""
        return self.graphs.batch(indices, self.rows)


def _ints(values: torch.Tensor) -> NDArray[np.int32]:
    return values.numpy().astype(np.int32)


def check_features(graph: "dgl.DGLGraph", name: str) -> None:
    """Refuse a graph that no model of molecules reads.

    Raises:
        ValueError: it has no atom, no ``features``, or features of another width than those of a molecule.
    """
    if not graph.num_nodes():
        raise ValueError(f"{name} has no nodes; leave it out")
    widths = (("node", graph.ndata, ATOM_WIDTH), ("edge", graph.edata, BOND_WIDTH))
    for kind, data, width in widths:
        if "features" not in data or data["features"].ndim != 2 or data["features"].shape[1] != width:
            found = list(data["features"].shape) if "features" in data else "none"
            raise ValueError(
                f"{name} needs {kind} data 'features' [{kind}s, {width}], as molgraph.smiles_to_graph makes them; "
                f"it has {found}"
            )


def read_graphs(path: Path, targets: Sequence[str], kind: str) -> "tuple[MoleculeTable, list[dgl.DGLGraph]]":
    """Read a file of ``dgl.save_graphs(path, graphs, labels)``.

    Args:
        path: the file.
        targets: labels to predict, each ``[M]``; empty takes all but ``part``.
        kind: ``regression`` or ``classification``; ``auto`` is the latter where all labels are 0 or 1.

    Raises:
        ValueError: no such file, a graph that cannot be read, or a label that is not there.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the file of dgl.save_graphs with data.graphs")
    try:
        graphs, labels = import_dgl().load_graphs(str(path))
    except Exception as error:  # DGL's own errors are of many kinds, and of many lines
        raise ValueError(f"{path} is no file of dgl.save_graphs ({str(error).splitlines()[0]})") from error
    names = list(targets) or [name for name in labels if name != PART]
    missing = [name for name in names if name not in labels]
    if missing or not names:
        raise ValueError(f"{path} has no label {', '.join(missing) or 'at all'}; it has {', '.join(labels) or 'none'}")
    for number, graph in enumerate(graphs):
        check_features(graph, f"{path}, graph {number}")
    columns = [labels[name].double().reshape(len(graphs), -1).numpy() for name in names]
    if any(column.shape[1] != 1 for column in columns):
        raise ValueError(f"{path}: a label has to be one number for each graph; give several targets as several labels")
    values = np.concatenate(columns, axis=1)
    measured = values[~np.isnan(values)]
    if kind not in ("auto", "regression", "classification"):
        raise ValueError(f"data.kind={kind!r} does not fit data.graphs; use auto, regression or classification")
    chosen = ("classification" if np.isin(measured, (0, 1)).all() else "regression") if kind == "auto" else kind
    texts = [f"graph {number}" for number in range(len(graphs))]
    parts = [PARTS[int(part)] for part in labels[PART].tolist()] if PART in labels else [""] * len(graphs)
    cells = [[text, *map(repr, row), part] for text, row, part in zip(texts, values.tolist(), parts, strict=True)]
    table = MoleculeTable(
        name=str(path),
        kind=chosen,
        targets=tuple(Target(name, "", "") for name in names),
        header=["graph", *names, PART],
        rows=cells,
        lines=list(range(len(graphs))),
        smiles=texts,
        values=values,
    )
    return table, graphs


def as_dgl(batches: PropertyBatches, epoch: int = 0) -> "Iterator[tuple[dgl.DGLGraph, torch.Tensor]]":
    """Yield the batches of an epoch as batched ``DGLGraph`` and targets ``[B, T]``, for whoever trains with DGL."""
    for batch in batches.epoch(epoch):
        yield to_dgl(batch.inputs), batch.targets
