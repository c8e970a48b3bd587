"""Sources and targets that belong together, in batches.

source table + target corpus -> PairBatches -> PairBatch(source, target)
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from molgraph.molecules.graphs import Encoded
from molgraph.sequences.layers.graph_source import MoleculeBatch
from molgraph.sequences.text.batch import TokenBatch
from molgraph.sequences.text.dataset import Corpus, bucket, number_of_batches, share


@dataclass(frozen=True)
class PairBatch:
    """Sources and targets."""

    source: TokenBatch | MoleculeBatch
    """What the encoder reads."""
    target: TokenBatch
    """From ``<bos>`` to ``<eos>``."""

    def to(self, device: torch.device | str) -> "PairBatch":
        """Return the same batch on another device."""
        return PairBatch(self.source.to(device), self.target.to(device))


@dataclass(frozen=True)
class PairBatches:
    """Batches of pairs of similar lengths; the order and the random writings depend on (seed, epoch) alone."""

    sources: Encoded
    """What is read."""
    targets: Corpus
    """What is written."""
    batch_size: int
    """Pairs of a batch."""
    seed: int = 0
    """Of the order."""
    shuffle: bool = True
    """Whether order and writings change with the epoch; False for evaluation."""
    part: tuple[int, int] = (0, 1)
    """This process and the number of processes that share each batch."""

    def shard(self, rank: int, size: int) -> "PairBatches":
        """Return the same batches of which process ``rank`` of ``size`` reads its share."""
        return replace(self, part=(rank, size))

    def __len__(self) -> int:
        return number_of_batches(len(self.targets), self.batch_size)

    def epoch(self, number: int) -> Iterator[PairBatch]:
        """Yield the batches of an epoch."""
        sources, epoch = (self.sources.for_epoch(number), number) if self.shuffle else (self.sources, None)
        sizes = np.asarray(sources.sizes) + self.targets.sizes
        for whole in bucket(sizes, self.batch_size, self.seed, epoch):
            rows, counts = share(whole, self.part)
            targets = self.targets.batch(rows)
            yield PairBatch(sources.batch(rows), targets if counts else targets.blank())
