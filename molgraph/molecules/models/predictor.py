"""What every model of a property has to do: ``build -> encode -> forward``, then ``state -> restore``.

A class of one's own that keeps this contract can be named by ``model._target_``; ``molgraph.testing`` checks it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from rich.console import Console
from torch import Tensor, nn

from molgraph.molecules.graphs.dataset import Encoded
from molgraph.molecules.models.attribution import Explanation

Featurizer = Callable[[Sequence[str]], tuple[Any, dict[int, str]]]
"""Any SMILES to the valid ones as the model reads them, and a reason for each bad row; can be sent to a process."""


class Predictor(nn.Module, ABC):
    """A model that maps a batch of molecules to ``[B, outputs]``: standardized values, or logits of classes.

    Attributes:
        reads_tokens: whether it reads a vocabulary; what it encodes then names tokens that it does not know.
    """

    reads_tokens: ClassVar[bool] = False

    @property
    def averages(self) -> bool:
        """Whether a prediction is the mean over several readings of a molecule, and :meth:`copies` gives them."""
        return False

    @classmethod
    @abstractmethod
    def build(cls, smiles: Sequence[str], outputs: int, **options: Any) -> Self:
        """Return a new model for data like ``smiles``.

        Args:
            smiles: the training part, valid.
            outputs: numbers to predict.
            options: keys of the model's configuration, and ``standardization``.

        Raises:
            ValueError: a key or value that it does not know.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return plain values that :meth:`restore` needs beside the configuration and the weights."""

    @classmethod
    @abstractmethod
    def restore(cls, state: dict[str, Any], outputs: int, **options: Any) -> Self:
        """Return a model whose weights are about to be loaded; arguments as :meth:`build`, with its :meth:`state`."""

    @abstractmethod
    def encode(self, smiles: Sequence[str], workers: int | None = None, console: Console | None = None) -> Encoded:
        """Return a data set of valid SMILES as the model reads it; what is slow is done once and cached."""

    @abstractmethod
    def featurizer(self) -> Featurizer:
        """Return the function that reads any SMILES; it runs in worker processes of ``molgraph predict``."""

    @abstractmethod
    def explain(self, smiles: str, way: str, output: int) -> Explanation:
        """Return the weight of each atom in one output; ``way`` is ``attention`` or ``gradient``.

        Raises:
            NoAttention: there is no attention to show.
        """

    def fingerprint(self, batch: Any) -> Tensor:
        """Return what the model has learned to see of each molecule ``[B, F]``.

        Raises:
            ValueError: it has no such layer.
        """
        raise ValueError(f"{type(self).__name__} has no learned fingerprint; use a graph or sequence model")

    def copies(self, batch: Any) -> Tensor:
        """Return the prediction of each reading ``[B, readings, outputs]``; only where it ``averages``."""
        raise NotImplementedError(f"{type(self).__name__} reads a molecule in one way")

    def diagnose(self, batch: Any) -> dict[str, float]:
        """Return numbers about the state of training, for ``trainer.diagnose``."""
        return {}
