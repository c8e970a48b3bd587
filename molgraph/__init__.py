"""Graph learning for chemistry and physics.

``train("assay.csv")`` makes a model, ``load(run).predict("CCO")`` a prediction, ``smiles_to_graph("CCO")`` a DGL graph.
Names are imported when they are first used, so that ``import molgraph`` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

_HOMES = {
    "smiles_to_graph": "molgraph.molecules.graphs.convert",
    "load": "molgraph.molecules.predict",
    "train": "molgraph.api",
    "compare": "molgraph.api",
    "explain": "molgraph.api",
    "embed": "molgraph.api",
    "MolGraphRegressor": "molgraph.estimators",
    "MolGraphClassifier": "molgraph.estimators",
    "resume": "molgraph.training.run",
}
__all__ = [
    "MolGraphClassifier",
    "MolGraphRegressor",
    "__version__",
    "compare",
    "embed",
    "explain",
    "load",
    "resume",
    "smiles_to_graph",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'molgraph' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)
