"""Molecules as graphs: ``SMILES -> codes of atoms and bonds -> flat arrays, cached -> GraphBatch | DGLGraph``."""

from molgraph.molecules.graphs.convert import smiles_to_graph
from molgraph.molecules.graphs.dataset import Encoded, GraphSet, molecule_graphs

__all__ = ["Encoded", "GraphSet", "molecule_graphs", "smiles_to_graph"]
