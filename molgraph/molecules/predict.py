"""A run folder to predictions: ``load(run) -> TrainedModel -> predict(smiles) | stream(smiles)``.

No row is ever lost: a row that cannot be read keeps its place with an empty prediction and a reason in ``error``.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor

from molgraph.molecules.careful import ReaderPool, read_carefully
from molgraph.molecules.models.attribution import Explanation
from molgraph.molecules.models.predictor import Predictor
from molgraph.molecules.reading.parallel import available_cores
from molgraph.molecules.reading.transforms import Transform
from molgraph.molecules.report import measured_cells, prediction_cells, prediction_columns
from molgraph.molecules.settings import DataConfig
from molgraph.molecules.tasks import make_task
from molgraph.molecules.trust import Trust, Verdict
from molgraph.training import plugins
from molgraph.training.checkpoint import load_checkpoint
from molgraph.training.config import locate
from molgraph.training.hardware.allocator import keep_memory
from molgraph.training.hardware.precision import choose_device, set_precision
from molgraph.training.supervised import Supervised

CHUNK = 512
"""Rows that are read, featurized and predicted together."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one SMILES."""

    smiles: str
    """As given."""
    values: list[float] | None
    """One number for each target (for several classes: one probability for each class); None where there is none."""
    error: str = ""
    """Why there is none."""
    spread: list[float] | None = None
    """Standard deviation of each value over the random writings that a sequence model has averaged, else None."""
    unknown: str = ""
    """Tokens of the SMILES that a sequence model has not seen in training, and has read as ``<unk>``."""
    verdict: Verdict | None = None
    """How far it can be trusted, where that is asked for."""

    def __float__(self) -> float:
        """Return the value of a single target; NaN where there is none."""
        if self.values is None:
            return math.nan
        if len(self.values) != 1:
            raise TypeError(f"the prediction has {len(self.values)} values; take them from .values")
        return self.values[0]


@dataclass(frozen=True)
class Asked:
    """What is to be said beside the values."""

    coverage: float | None = None
    """Share of molecules whose truth the interval is to hold; None for no interval."""
    domain: bool = False
    """Whether the molecule lies inside of what was learned from."""
    nearest: int = 0
    """So many training molecules that are most like it."""

    def __bool__(self) -> bool:
        return self.coverage is not None or self.domain or self.nearest > 0


class TrainedModel:
    """A trained property model, kept in memory; safe to call from a loop.

    Attributes:
        task: the trained task.
        names: name of each target.
        units: unit of each target.
        classes: for several classes, the labels of each target.
    """

    def __init__(self, run: str | Path, device: str = "auto") -> None:
        """Load ``best.pt`` of a run folder.

        Args:
            run: folder that ``molgraph train`` printed, or a checkpoint in it.
            device: ``auto``, ``cpu`` or ``cuda``.

        Raises:
            ValueError: no run folder, a damaged checkpoint, or a run of another kind.
        """
        path = Path(run)
        content = load_checkpoint(path if path.suffix == ".pt" else path / "best.pt")
        self.config, state = yaml.safe_load(content["config"]), yaml.safe_load(content["state"])
        if "targets" not in state:
            raise ValueError(
                f"{run} predicts no property of molecules; it was trained with task {self.config['task']['_target_']}"
            )
        self.state, self.run = state, str(run)
        self.names = [target["name"] for target in state["targets"]]
        self.units = [target["unit"] for target in state["targets"]]
        self.classes: list[list[str]] = state["classes"]
        self.transforms = [change and Transform(**change) for change in state.get("transforms", [])]
        self.device = choose_device(device)
        if self.device.type == "cpu":
            keep_memory()
        set_precision("auto", self.device)
        self.spreads: list[float] = state["statistics"].get("std", ())
        self.task = self._restore(content["task"])
        self.averages = self.model.averages
        self.reads_tokens = self.model.reads_tokens
        self.featurizer = self.model.featurizer()
        self._trust = content.get("trust")
        self.asked = Asked()
        self.trust: Trust | None = None

    def ask(self, coverage: float | None = None, domain: bool = False, nearest: int = 0) -> Self:
        """Say more beside each prediction from now on: an interval, the domain, the nearest training molecules.

        Args:
            coverage: share of molecules whose truth lies in the interval, between 0 and 1; None for none.
            domain: say whether the molecule lies inside of what was learned from.
            nearest: number of training molecules to name.

        Raises:
            ValueError: a coverage that is no share, or a run without calibration.
        """
        if coverage is not None and not 0 < coverage < 1:
            raise ValueError(f"coverage={coverage} is no share; use for example 0.9")
        if nearest < 0:
            raise ValueError(f"nearest={nearest}: give how many molecules to name")
        if coverage is not None and self.state["kind"] != "regression":
            raise ValueError("classes have probabilities and no intervals; ask for domain and nearest")
        self.asked = Asked(coverage, domain, nearest)
        if self.asked and self._trust is None:
            raise ValueError("this run was trained before there was calibration; train it again")
        self.trust = Trust.restore(self._trust) if self.asked and self._trust else None
        return self

    @property
    def measured(self) -> list[str]:
        """Return the column of each target in a table of measurements, on the scale on which it was measured."""
        changes = self.transforms or [None] * len(self.names)
        return [change.column if change else name for name, change in zip(self.names, changes, strict=True)]

    def _restore(self, weights: dict[str, Tensor]) -> Supervised:
        options = dict(self.config["model"])
        predictor: type[Predictor] = locate(options.pop("_target_"))
        standardization = DataConfig(**self.config["data"]).standardization()
        self.model = predictor.restore(
            self.state["model"], self.state["outputs"], standardization=standardization, **options
        )
        task = make_task(self.model, self.names, self.state["kind"], self.state["statistics"])
        task.load_state_dict(weights)
        return task.to(self.device).eval()

    def predict(self, molecules: Any, as_frame: bool = False) -> Any:
        """Predict one molecule or many; a bad one gets a reason instead of values.

        Args:
            molecules: a SMILES or an RDKit ``Mol``; a list of them; a pandas ``Series`` or ``DataFrame``; or the path
                of a table.
            as_frame: return a ``DataFrame`` with the columns of ``molgraph predict`` in any case.

        Returns:
            The same kind: one :class:`Prediction`; a list; a Series of values (a DataFrame for several targets); the
            DataFrame with columns added; for a path a list.

        Raises:
            ValueError: a table without a column of molecules, or something that is no molecule.

        >>> model = TrainedModel("runs/solubility")  # doctest: +SKIP
        >>> model.predict("CCO").values  # doctest: +SKIP
        [0.93]
        """
        from molgraph.molecules.frames import predict_any

        return predict_any(self, molecules, as_frame)

    def predict_texts(self, smiles: Sequence[str]) -> list[Prediction]:
        """Predict SMILES in this process, one prediction for each."""
        texts = list(smiles)
        predictions: list[Prediction] = []
        for start in range(0, len(texts), CHUNK):
            predictions += self._predict_read(texts[start : start + CHUNK])
        return predictions

    def embed(self, smiles: Sequence[str]) -> NDArray[np.float32]:
        """Return the learned fingerprint of each molecule, what the head of the model sees ``[M, F]``.

        A row that cannot be read is NaN.

        Raises:
            ValueError: the model has none.
        """
        good: list[int] = []
        learned: list[NDArray[np.float32]] = []
        for start in range(0, len(smiles), CHUNK):
            chunk = list(smiles[start : start + CHUNK])
            encoded, errors = self._read(chunk)
            good += [start + row for row in range(len(chunk)) if row not in errors]
            with torch.inference_mode():
                for part in torch.arange(len(chunk) - len(errors)).split(128):
                    batch = encoded.batch(part.numpy()).to(self.device)
                    learned.append(self.model.fingerprint(batch).float().cpu().numpy())
        found = np.full((len(smiles), learned[0].shape[1] if good else 0), np.nan, np.float32)
        if good:
            found[good] = np.concatenate(learned)
        return found

    def _predict_chunk(self, smiles: Sequence[str], encoded: Any, errors: dict[int, str]) -> list[Prediction]:
        numbers = list(self._values(encoded))
        values, verdicts = enumerate(numbers), self._verdicts(smiles, numbers, errors)
        unknown = encoded.unknown if self.reads_tokens else {}
        predictions = []
        for row, text in enumerate(smiles):
            if row in errors:
                predictions.append(Prediction(text, None, errors[row]))
            else:
                number, (value, spread) = next(values)
                if not all(map(math.isfinite, value)):
                    predictions.append(Prediction(text, None, "the model's prediction is no number"))
                    continue
                words = " ".join(unknown.get(number, ()))
                predictions.append(Prediction(text, value, "", spread, words, verdicts[number]))
        return predictions

    def _verdicts(self, smiles: Sequence[str], numbers: list[Any], errors: dict[int, str]) -> Sequence[Verdict | None]:
        """Return what is said of each valid molecule."""
        if self.trust is None:
            return [None] * len(numbers)
        good = [text for row, text in enumerate(smiles) if row not in errors]
        targets = len(self.trust.targets)
        predicted = np.array([value[:targets] for value, _ in numbers], dtype=np.float64).reshape(len(numbers), targets)
        return self.trust.judge(good, predicted, self.asked.coverage or 0.9, self.asked.nearest)

    def _values(self, encoded: Any) -> Iterator[tuple[list[float], list[float] | None]]:
        """Predict molecules of similar size together: on a CPU, batches that fit the cache are the fastest."""
        sizes = torch.as_tensor(encoded.sizes)
        order = torch.argsort(sizes, stable=True)
        result = torch.zeros(len(order), self.state["outputs"], dtype=torch.float64)
        spread = torch.zeros_like(result) if self.averages else None
        with torch.inference_mode():
            for part in order.split(128 if self.device.type == "cpu" else CHUNK):
                batch = encoded.batch(part.numpy()).to(self.device)
                if spread is None:
                    result[part] = self.task.predict(batch).double().cpu()
                else:
                    each = self.model.copies(batch)  # [B, writings, outputs]
                    result[part] = self.task.in_units(each.mean(1)).double().cpu()
                    spread[part] = self.task.in_units(each).std(1).double().cpu()
        return zip(result.tolist(), repeat(None) if spread is None else spread.tolist(), strict=False)

    def explain(self, smiles: str, way: str, target: str | None = None) -> Explanation:
        """Say what the model looked at in one molecule.

        Args:
            smiles: one SMILES.
            way: ``attention`` or ``gradient`` (of several classes: of the predicted one).
            target: name of a target; by default the first.

        Raises:
            ValueError: no SMILES that the model reads, an unknown target, or a model without attention.
        """
        if target is not None and target not in self.names:
            raise ValueError(f"the model predicts {', '.join(self.names)}; there is no target {target!r}")
        prediction = self.predict_texts([smiles])[0]
        if prediction.values is None:
            raise ValueError(f"{smiles!r} cannot be explained: {prediction.error}")
        column = self.names.index(target) if target else 0
        if self.classes:
            first = sum(map(len, self.classes[:column]))
            shares = prediction.values[first : first + len(self.classes[column])]
            column = first + shares.index(max(shares))
        return self.model.explain(smiles, way, column)

    def stream(self, smiles: Iterable[str], workers: int | None = None) -> Iterator[Prediction]:
        """Predict any number of SMILES in constant memory, in order; other processes read molecules ahead of the model.

        Args:
            smiles: any iterable.
            workers: processes; None takes one for each core, 0 stays in this process.
        """
        workers = available_cores() if workers is None else workers
        source = iter(smiles)
        chunks = iter(lambda: list(islice(source, CHUNK)), [])
        if workers == 0:
            for chunk in chunks:
                yield from self._predict_read(chunk)
            return
        with ReaderPool(self.featurizer, workers) as pool, self._model_threads() as threads:

            def submit(chunk: list[str]) -> Future[list[Prediction]]:
                return threads.submit(self._predict_read, chunk, pool, pool.submit(chunk))

            waiting = deque(submit(chunk) for chunk in islice(chunks, 2 * workers + 2))
            while waiting:
                predictions = waiting.popleft().result()
                following = next(chunks, None)
                if following:
                    waiting.append(submit(following))
                yield from predictions

    def _read(self, smiles: list[str]) -> tuple[Any, dict[int, str]]:
        """Read a chunk in this process; if that fails, row by row in another."""
        try:
            return self.featurizer(smiles)
        except Exception:
            return read_carefully(self.featurizer, smiles)

    def _predict_read(
        self, smiles: list[str], pool: ReaderPool | None = None, read: "Future[Any] | None" = None
    ) -> list[Prediction]:
        """Predict a chunk; whatever a row does becomes its reason, and the others have their predictions."""
        encoded, errors = pool.result(smiles, read) if pool and read else self._read(smiles)
        try:
            return self._predict_chunk(smiles, encoded, errors)
        except Exception as error:
            if len(smiles) == 1:
                reason = f"the model fails on it ({type(error).__name__}: {str(error).splitlines()[0][:200]})"
                return [Prediction(smiles[0], None, reason)]
            return [self._predict_read([text])[0] for text in smiles]

    @contextmanager
    def _model_threads(self) -> Iterator[ThreadPoolExecutor]:
        """As many threads as PyTorch would give one operation, each with a chunk of its own: none waits for another."""
        count = torch.get_num_threads()
        try:
            with ThreadPoolExecutor(
                count if self.device.type == "cpu" else 1, initializer=torch.set_num_threads, initargs=(1,)
            ) as threads:
                yield threads
        finally:
            torch.set_num_threads(count)

    def columns(self) -> list[str]:
        """Return the columns that a prediction adds to a table, ``error`` last."""
        spreads = [f"{name}_spread" for name in self.names] if self.averages and not self.classes else []
        unknown = ["unknown_tokens"] if self.reads_tokens else []
        back = [f"{change.column}_predicted" for change in self.transforms if change]
        intervals = [f"{name}_{end}" for name in self.names for end in ("low", "high")] if self.asked.coverage else []
        words = ["domain"] * self.asked.domain + ["nearest"] * (self.asked.nearest > 0)
        columns = prediction_columns(self.names, self.classes)
        return [*columns, *back, *intervals, *words, *spreads, *unknown, "error"]

    def number_columns(self) -> list[str]:
        """Return those of :meth:`columns` that hold numbers."""
        labels = {f"{name}_predicted" for name in self.names} if self.classes else set()
        texts = {"error", "unknown_tokens", "domain", "nearest", *labels}
        return [name for name in self.columns() if name not in texts]

    def cells(self, prediction: Prediction) -> list[str]:
        """Return the cells of one prediction, as :meth:`columns` names them."""
        if prediction.values is None:
            return [""] * (len(self.columns()) - 1) + [prediction.error]
        spreads = [f"{value:.3g}" for value in prediction.spread or []] if not self.classes else []
        unknown = [prediction.unknown] if self.reads_tokens else []
        back = measured_cells(prediction.values, self.transforms)
        cells = prediction_cells(prediction.values, self.classes, self.spreads)
        return [*cells, *back, *self._verdict_cells(prediction), *spreads, *unknown, ""]

    def _verdict_cells(self, prediction: Prediction) -> list[str]:
        verdict = prediction.verdict
        if verdict is None:
            return []
        ends = [end for pair in zip(verdict.low, verdict.high, strict=True) for end in pair]
        cells = []
        if self.asked.coverage:
            cells += ["" if math.isnan(end) else prediction_cells([end], [], self.spreads[:1])[0] for end in ends]
        if self.asked.domain:
            cells.append(verdict.domain)
        if self.asked.nearest:
            cells.append("; ".join(self._neighbor(*near) for near in verdict.nearest))
        return cells

    def _neighbor(self, smiles: str, similarity: float, values: list[float]) -> str:
        """Return a training molecule with its similarity and measured values (of classes: their labels)."""
        told = []
        for column, value in enumerate(values):
            if math.isnan(value):
                told.append("-")
            else:
                told.append(self.classes[column][int(value)] if self.classes else f"{value:.4g}")
        return f"{smiles} ({similarity:.2f}: {', '.join(told)})"


def load(run: str | Path, device: str = "auto", trust: Iterable[str] = ()) -> TrainedModel:
    """Load the best model of a run folder; see :class:`TrainedModel`.

    Args:
        run: run folder, or a checkpoint in it.
        device: ``auto``, ``cpu`` or ``cuda``.
        trust: modules of your own, beside installed plug-ins, whose classes the run may name.
    """
    plugins.trust(trust)
    return TrainedModel(run, device)
