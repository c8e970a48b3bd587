"""A training step of `model=gru` against a bare loop over `nn.GRU` of the same size, and what the batches pad.

python -m tests.benchmarks.sequences [--data esol] [--width 128] [--threads 1] [--rounds 5]

Both read the same molecules in the same order. The bare loop pads each batch of 64 to its longest member, as most code
does; once it is given our groups of similar length too, so that the cells alone are compared.
"""

import argparse
import random
import statistics
import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from molgraph.molecules.graphs.dataset import PropertyBatches
from molgraph.molecules.reading.table import Source, read_table
from molgraph.sequences.property.sequence_predictor import SequencePredictor
from molgraph.sequences.text.batch import pad

LAYERS = 2


class Bare(nn.Module):
    """What a tutorial writes: embedding, a bidirectional nn.GRU, the mean of the states, a head."""

    def __init__(self, tokens, width):
        super().__init__()
        self.embedding = nn.Embedding(tokens, width, padding_idx=0)
        self.gru = nn.GRU(width, width, LAYERS, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, 1))

    def forward(self, batch):
        states, mask = self.gru(self.embedding(batch.tokens))[0], batch.mask.unsqueeze(-1)
        return self.head((states * mask).sum(1) / mask.sum(1))


def epoch(model, batches):
    """Train one epoch on lists of padded groups and return its seconds."""
    optimizer = torch.optim.AdamW(model.parameters())
    start = time.perf_counter()
    for groups in batches:
        optimizer.zero_grad()
        sum(model(group).square().sum() for group in groups).backward()
        optimizer.step()
    return time.perf_counter() - start


def waste(batches):
    """Share of the tokens that are padding."""
    groups = [group for batch in batches for group in batch]
    return 1 - sum(int(group.lengths.sum()) for group in groups) / sum(group.tokens.numel() for group in groups)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="esol")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    smiles = read_table(Source(arguments.data)).smiles[:1000]
    shape = {"cell": "gru", "width": arguments.width, "layers": LAYERS, "dropout": 0.0}
    ours = SequencePredictor.build(smiles, 1, shape, randomize=True)
    data = PropertyBatches(ours.encode(smiles), np.zeros((len(smiles), 1)), np.arange(len(smiles)), 64, shuffle=True)
    written = data.encoded.for_epoch(0)
    grouped = [batch.inputs for batch in data.epoch(0)]
    rows = np.random.default_rng(0).permutation(len(smiles))
    plain = [[pad([written.tokens[row] for row in rows[i : i + 64]])] for i in range(0, len(rows), 64)]
    bare, groups = Bare(len(ours.vocabulary), arguments.width), [batch.groups for batch in grouped]

    class Whole(nn.Module):
        """Our predictor, called with a whole batch."""

        def __init__(self):
            super().__init__()
            self.model = ours

        def forward(self, batch):
            return self.model(batch)

    contestants = {
        "model=gru": lambda: epoch(Whole(), [[batch] for batch in grouped]),
        "nn.GRU, the same groups": lambda: epoch(bare, groups),
        "nn.GRU, random batches": lambda: epoch(bare, plain),
    }
    for run in contestants.values():
        run()
    seconds = {name: [] for name in contestants}
    for number in range(arguments.rounds):
        for name in random.Random(number).sample(sorted(contestants), len(contestants)):
            seconds[name].append(contestants[name]())
    report(arguments, len(smiles), seconds, {"model=gru": waste(groups), "nn.GRU, random batches": waste(plain)})


def report(arguments, molecules, seconds, padding):
    """Print medians, and each round's ratio to ours."""
    table = Table(
        title=f"{molecules} molecules of {arguments.data}, width {arguments.width}, {arguments.threads} threads"
    )
    for column in ("", "molecules / s", "time, ours = 1 (median, range)", "padding"):
        table.add_column(column, justify="right")
    for name, values in seconds.items():
        ratios = [value / own for value, own in zip(values, seconds["model=gru"], strict=True)]
        shown = f"{statistics.median(ratios):.2f}  ({min(ratios):.2f} - {max(ratios):.2f})"
        rate = f"{molecules / statistics.median(values):,.0f}"
        table.add_row(name, rate, shown, f"{100 * padding[name]:.1f} %" if name in padding else "")
    Console().print(table)


if __name__ == "__main__":
    main()
