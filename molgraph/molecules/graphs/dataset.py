"""A table to checked molecules, and to batches: ``MoleculeTable -> check -> featurized once -> batches``."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import rdBase
from rich.console import Console

from molgraph.molecules.graphs.arrays import MoleculeGraphs, concatenate
from molgraph.molecules.graphs.cache import cached, content_key
from molgraph.molecules.graphs.convert import featurize_smiles
from molgraph.molecules.graphs.features import FEATURES_VERSION
from molgraph.molecules.reading.parallel import map_chunks
from molgraph.molecules.reading.smiles import InvalidSmiles, Standardization, canonicalize
from molgraph.molecules.reading.table import MoleculeTable
from molgraph.training.batching import groups_of_similar_size
from molgraph.training.supervised import SupervisedBatch
from molgraph.training.task import Resident


class _Check:
    """Canonical SMILES, or the reason why there is none: ``(text, is_valid)``."""

    def __init__(self, standardization: Standardization) -> None:
        self.standardization = standardization

    def __call__(self, smiles: Sequence[str]) -> list[tuple[str, bool]]:
        results = []
        for text in smiles:
            try:
                results.append((canonicalize(text, self.standardization), True))
            except InvalidSmiles as error:
                results.append((error.reason, False))
        return results


def check_molecules(
    table: MoleculeTable, standardization: Standardization, on_error: str, workers: int | None, console: Console
) -> tuple[MoleculeTable, list[str]]:
    """Return the usable rows of a table and the canonical SMILES of each.

    Args:
        table: as read.
        standardization: hydrogens, salts, stereo.
        on_error: ``raise`` stops at the first bad row, ``skip`` leaves it out.
        workers: processes.
        console: where progress is shown.

    Raises:
        ValueError: a row is bad and ``on_error`` is ``raise``, or no row is left.
    """
    if on_error not in ("raise", "skip"):
        raise ValueError(f"data.on_error={on_error!r} is unknown; use raise or skip")

    def compute() -> dict[str, NDArray[Any]]:
        chunks = map_chunks(_Check(standardization), table.smiles, workers, "reading molecules", console)
        pairs = [pair for chunk in chunks for pair in chunk]
        return {
            # One run of bytes: an array of texts would give each the width of the longest.
            "text": np.frombuffer("\n".join(text.replace("\n", " ") for text, _ in pairs).encode(), dtype=np.uint8),
            "valid": np.array([valid for _, valid in pairs], dtype=bool),
        }

    key = content_key("bytes", rdBase.rdkitVersion, standardization, texts=table.smiles)
    stored = cached("molecules", key, compute)
    texts, valid = stored["text"].tobytes().decode().split("\n"), stored["valid"].tolist()
    bad = [table.reject(i, f"not a SMILES: {texts[i]}") for i in range(len(table)) if not valid[i]]
    good = [index for index in range(len(table)) if valid[index]]
    checked = table.keep(good, bad)
    if checked.rejected and on_error == "raise":
        first = checked.rejected[0]
        raise ValueError(
            f"row {first.row} of {table.name}: {first.smiles!r} cannot be used ({first.reason}); "
            f"{len(checked.rejected)} rows in all; mend the file, or use data.on_error=skip to go on without them"
        )
    if not good:
        raise ValueError(f"{table.name} has no usable row; see its SMILES column")
    return checked, [texts[index] for index in good]


class _Featurize:
    def __init__(self, standardization: Standardization) -> None:
        self.standardization = standardization

    def __call__(self, smiles: Sequence[str]) -> MoleculeGraphs:
        return featurize_smiles(smiles, self.standardization)


def molecule_graphs(
    smiles: Sequence[str], standardization: Standardization, workers: int | None = None, console: Console | None = None
) -> MoleculeGraphs:
    """Featurize a data set in parallel processes, or read what an earlier run has featurized.

    Args:
        smiles: valid SMILES.
        standardization: hydrogens, salts, stereo.
        workers: processes; None takes all cores.
        console: where progress is shown.
    """

    def compute() -> dict[str, NDArray[Any]]:
        graphs = concatenate(list(map_chunks(_Featurize(standardization), smiles, workers, "building graphs", console)))
        return {field.name: getattr(graphs, field.name) for field in fields(graphs)}

    if len(smiles) < 200:
        return featurize_smiles(smiles, standardization)
    key = content_key(FEATURES_VERSION, rdBase.rdkitVersion, asdict(standardization), texts=smiles)
    return MoleculeGraphs(**cached("graphs", key, compute))


GROUP, POOL = 16, 1280
"""Molecules that are padded together, and molecules among which they are chosen."""


class Encoded(Protocol):
    """Molecules in the form that a model reads.

    Attributes:
        padded: whether a batch pads its molecules to the largest, so that similar sizes belong together.
    """

    padded: ClassVar[bool]

    def __len__(self) -> int:
        """Return the number of molecules."""
        ...

    @property
    def sizes(self) -> Sequence[int] | NDArray[np.int64]:
        """Cost of each molecule, so that batches can gather similar ones."""
        ...

    def for_epoch(self, number: int) -> "Encoded":
        """Return the molecules as training epoch ``number`` reads them: a place for random augmentation."""
        ...

    def batch(self, indices: Sequence[int] | NDArray[np.int64]) -> Any:
        """Gather molecules into one batch."""
        ...


@dataclass(frozen=True)
class GraphSet:
    """What all forms share in which a model reads the graphs of a data set; each adds its own ``batch``."""

    graphs: MoleculeGraphs
    """Atoms and bonds of all molecules."""

    @cached_property
    def tables(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Feature rows of the vocabularies, written out once for all batches."""
        return self.graphs.tables()

    def __len__(self) -> int:
        """Return the number of molecules."""
        return len(self.graphs)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Atoms of each molecule."""
        return self.graphs.sizes

    def for_epoch(self, number: int) -> Self:
        """Return the same molecules: a graph is not augmented, and a random writing of a SMILES is the same graph."""
        return self


@dataclass(frozen=True)
class PropertyBatches:
    """Batches of molecules with targets, in an order that is the same for each (seed, epoch)."""

    encoded: Encoded
    """All molecules in the form that the model reads."""
    values: NDArray[np.float64]
    """Targets of all molecules ``[M, T]``; NaN where nothing was measured."""
    indices: NDArray[np.int64]
    """The molecules of this part."""
    batch_size: int
    """Molecules in a batch."""
    seed: int = 0
    """Together with the epoch it fixes the order."""
    shuffle: bool = False
    """Whether the order is random, as in training."""
    part: tuple[int, int] = (0, 1)
    """This process and the number of processes that share each batch."""
    bounds: NDArray[np.int8] | None = None
    """Which targets are bounds, see ``MoleculeTable.bounds`` ``[M, T]``; None: all are exact."""
    resident: torch.Tensor | None = None
    """The targets on the device on which batches are made; None makes them on the host."""

    def shard(self, rank: int, size: int) -> "PropertyBatches":
        """Return the same batches of which process ``rank`` of ``size`` reads its share."""
        return replace(self, part=(rank, size))

    def on(self, device: torch.device) -> "PropertyBatches":
        """Return the same batches, made on ``device`` where the molecules can lie there as a whole."""
        if device.type == "cpu" or not isinstance(self.encoded, Resident):
            return self
        return replace(self, encoded=self.encoded.on(device), resident=torch.from_numpy(self.values).to(device))

    def _targets(self, chosen: NDArray[np.int64]) -> torch.Tensor:
        rows = torch.from_numpy(chosen)
        if self.resident is None:
            return torch.from_numpy(self.values)[rows]
        return self.resident[rows.to(self.resident.device, non_blocking=True)]

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self.indices) // self.batch_size)

    def order(self, number: int, sizes: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Return the molecules of each batch of epoch ``number``, in which molecules have the given ``sizes``."""
        if not self.shuffle:
            ordered = self.indices
            return [ordered[i : i + self.batch_size] for i in range(0, len(ordered), self.batch_size)]
        generator = np.random.default_rng((self.seed, number))
        shuffled = generator.permutation(self.indices)
        if self.encoded.padded:
            shuffled = self._in_groups(shuffled, sizes, generator)
        return [shuffled[i : i + self.batch_size] for i in range(0, len(shuffled), self.batch_size)]

    def _in_groups(
        self, rows: NDArray[np.int64], sizes: NDArray[np.int64], generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Put rows of similar size side by side, a few at a time, so that they can be padded together.

        Whole batches of equally large molecules would be biased, and cost accuracy; a batch of several such groups has
        molecules of all sizes.
        """
        groups = groups_of_similar_size(rows, sizes, GROUP, POOL)
        return np.concatenate([groups[i] for i in generator.permutation(len(groups))])

    def epoch(self, number: int) -> Iterator[SupervisedBatch]:
        """Yield the batches of epoch ``number``."""
        encoded = self.encoded.for_epoch(number) if self.shuffle else self.encoded
        rank, size = self.part
        for whole in self.order(number, np.asarray(encoded.sizes)):
            chosen = whole[rank::size]
            inputs = encoded.batch(chosen)
            bounds = None if self.bounds is None else torch.from_numpy(self.bounds[chosen])
            yield SupervisedBatch(inputs, self._targets(chosen), bounds)
