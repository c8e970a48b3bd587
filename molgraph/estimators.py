"""molgraph in scikit-learn: ``fit(SMILES, y) -> run folder -> predict``, in pipelines and cross-validation."""

from collections.abc import Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from molgraph.api import configuration
from molgraph.molecules.frames import text_of_molecule
from molgraph.molecules.predict import TrainedModel, load
from molgraph.molecules.tables import open_writer
from molgraph.training.config import with_values
from molgraph.training.run import train


class _Estimator(BaseEstimator):
    """What both estimators share.

    Args:
        model: name of a model of ``conf/model``.
        validation: share of the rows that chooses the best epoch.
        seed: of weights, batches and split.
        overrides: as behind ``molgraph train``.
        settings: dotted keys with values.
    """

    def __init__(
        self,
        model: str = "dmpnn_rdkit",
        validation: float = 0.1,
        seed: int = 0,
        overrides: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.validation = validation
        self.seed = seed
        self.overrides = overrides
        self.settings = settings

    def _fit(self, smiles: Sequence[str], values: NDArray[Any], kind: str) -> None:
        """Train in a folder that goes with the estimator."""
        if len(smiles) != len(values):
            raise ValueError(f"X has {len(smiles)} rows and y {len(values)}")
        self._folder = TemporaryDirectory(prefix="molgraph")
        table = f"{self._folder.name}/table.csv"
        names = [f"y{column}" for column in range(values.shape[1])]
        parts = self._parts(len(smiles))
        with open_writer(table, ["smiles", *names, "part"]) as writer:
            for text, row, part in zip(smiles, values, parts, strict=True):
                writer.write([text, *("" if value != value else str(value) for value in row), part])
        config = configuration(["data=molecules", f"model={self.model}", f"seed={self.seed}", *self.overrides])
        config["data"] |= {"path": table, "targets": names, "kind": kind, "split": "column", "split_column": "part"}
        config = with_values(config, dict(self.settings or {}))
        train(config, f"{self._folder.name}/run", Console(quiet=True))
        self.model_: TrainedModel = load(f"{self._folder.name}/run")
        self.n_features_in_ = 1

    def _parts(self, rows: int) -> list[str]:
        """Return the part of each row; the rows that choose the epoch are reported as test part, too."""
        if rows < 2:
            raise ValueError("at least 2 molecules are needed, one of them to choose the epoch")
        order = np.random.default_rng(self.seed).permutation(rows)
        held = max(2 if rows > 3 else 1, round(self.validation * rows))
        names = np.full(rows, "train", dtype=object)
        names[order[:held]] = "val"
        names[order[: max(1, held // 2)]] = "test"
        return list(names)

    def _values(self, molecules: Any) -> NDArray[np.float64]:
        check_is_fitted(self, "model_")
        predictions = self.model_.predict_texts(texts_of(molecules))
        bad = next((prediction for prediction in predictions if prediction.values is None), None)
        if bad:
            raise ValueError(f"{bad.smiles!r} has no prediction: {bad.error}")
        return np.array([prediction.values for prediction in predictions], dtype=np.float64)


class MolGraphRegressor(RegressorMixin, _Estimator):
    """Predict numbers from SMILES by any model of molgraph; ``y`` is ``[M]`` or ``[M, T]``, NaN where not measured.

    >>> estimator = MolGraphRegressor(model="ridge")
    >>> estimator.fit(["C" * n for n in range(1, 30)], range(1, 30)).predict(["CCC"]).shape
    (1,)
    """

    def fit(self, X: Any, y: Any) -> Self:  # the names of scikit-learn
        """Train on SMILES (or ``Mol`` objects) ``[M]`` and values ``[M]`` or ``[M, T]``."""
        values = np.asarray(y, dtype=np.float64)
        self._single = values.ndim == 1
        self._fit(texts_of(X), values.reshape(len(values), -1), "regression")
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return predictions ``[M]`` or ``[M, T]``.

        Raises:
            ValueError: a row that is no molecule.
        """
        values = self._values(X)
        return values[:, 0] if self._single else values


class MolGraphClassifier(ClassifierMixin, _Estimator):
    """Predict one of two or several classes from SMILES; ``y`` holds labels of any type ``[M]``."""

    def fit(self, X: Any, y: Any) -> Self:
        """Train on SMILES (or ``Mol`` objects) ``[M]`` and labels ``[M]``."""
        self.classes_, numbers = np.unique(np.asarray(y), return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has the single class {self.classes_[0]!r}")
        kind = "classification" if len(self.classes_) == 2 else "multiclass"
        # labels that sort as text in the order of their numbers
        digits = len(str(len(self.classes_)))
        named = numbers if kind == "classification" else np.array([f"c{number:0{digits}d}" for number in numbers])
        self._fit(texts_of(X), named.reshape(-1, 1).astype(object), kind)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class ``[M, C]``, in the order of ``classes_``."""
        values = self._values(X)
        return np.concatenate([1 - values, values], axis=1) if values.shape[1] == 1 else values

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the likeliest class ``[M]``."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


def texts_of(molecules: Any) -> list[str]:
    """Return the SMILES in a list, a Series, an array ``[M]`` or a column ``[M, 1]``.

    Raises:
        ValueError: more than one column, or something that is no molecule.
    """
    if hasattr(molecules, "columns") and len(molecules.columns) == 1:
        molecules = molecules[molecules.columns[0]]
    array: Any = molecules if isinstance(molecules, list | tuple) else np.asarray(molecules, dtype=object)
    if getattr(array, "ndim", 1) == 2:
        if array.shape[1] != 1:
            raise ValueError(f"X has {array.shape[1]} columns; give one with SMILES")
        array = array[:, 0]
    return [text_of_molecule(row[0] if isinstance(row, list | tuple) else row) for row in array]
