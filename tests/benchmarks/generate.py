"""Molecules per second of batched generation against one by one, and the cost of training beside a bare loop.

python tests/benchmarks/generate.py [--count 256]
"""

import argparse
import time

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional

from molgraph.sequences.architecture import make_decoder, make_shape
from molgraph.sequences.corpora import open_texts
from molgraph.sequences.dataset import Corpus, bucket, padding_waste
from molgraph.sequences.decode import decode
from molgraph.sequences.language import LanguageBatches, LanguageTask
from molgraph.sequences.strategies import Beam, Sampling
from molgraph.sequences.tokenizer import BOS, EOS, Vocabulary

SHAPES = {
    "gru 256": {"cell": "gru", "width": 256, "layers": 1},
    "lstm 256": {"cell": "lstm", "width": 256, "layers": 1},
    "transformer 128 x 3": {"width": 128, "layers": 3, "heads": 4, "feed_forward": 512, "dropout": 0.0},
}
LIMIT = 40


class BareGRU(nn.Module):
    """What anybody would write first: embedding, nn.GRU, linear."""

    def __init__(self, tokens, width):
        super().__init__()
        self.embedding, self.out = nn.Embedding(tokens, width), nn.Linear(width, tokens)
        self.gru = nn.GRU(width, width, batch_first=True)

    def forward(self, tokens):
        return self.out(self.gru(self.embedding(tokens))[0])


@torch.no_grad()
def one_by_one(decoder, count):
    """A plain loop: one sequence, one token at a time, the whole prefix read anew by a decoder without state."""
    for _ in range(count):
        tokens = [BOS]
        while len(tokens) <= LIMIT and tokens[-1] != EOS:
            probabilities = decoder(torch.tensor([tokens]))[0, -1].softmax(-1)
            tokens.append(int(torch.multinomial(probabilities, 1)))


def seconds(function, repeats=3):
    """Best of a few runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def generation(count, tokens):
    table = Table(title=f"generation, {count} sequences of at most {LIMIT} tokens, 1 thread", title_justify="left")
    for column in ("model", "one by one, 1/s", "batched, 1/s", "beam of 5, 1/s", "ratio"):
        table.add_column(column, justify="right")
    for name, shape in SHAPES.items():
        torch.manual_seed(0)
        decoder = make_decoder(make_shape(shape), tokens).eval()
        few = max(8, count // 16)
        slow = few / seconds(lambda d=decoder, n=few: one_by_one(d, n))
        fast = count / seconds(lambda d=decoder: decode(d, Sampling(seed=0), count, LIMIT))
        beam = few / seconds(lambda d=decoder, n=few: decode(d, Beam(5), n, LIMIT))
        table.add_row(name, f"{slow:.0f}", f"{fast:.0f}", f"{beam:.0f}", f"{fast / slow:.0f}x")
    return table


def training(corpus, tokens, steps=30):
    """Seconds a step of the language task and of the bare nn.GRU loop on the same batches."""
    batches = [batch for batch, _ in zip(LanguageBatches(corpus, 128).epoch(0), range(steps), strict=False)]
    task = LanguageTask(make_decoder(make_shape(SHAPES["gru 256"]), tokens))
    bare = BareGRU(tokens, 256)

    def run(model, loss):
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        for batch in batches:
            optimizer.zero_grad()
            loss(batch).backward()
            optimizer.step()

    def bare_loss(batch):
        sequences = batch.sequences.tokens
        return functional.cross_entropy(
            bare(sequences[:, :-1]).flatten(0, 1), sequences[:, 1:].flatten(), ignore_index=0
        )

    ours, theirs = seconds(lambda: run(task, task.loss)), seconds(lambda: run(bare, bare_loss))
    table = Table(title="training, GRU 256, batches of 128, 1 thread", title_justify="left")
    for column in ("loop", "molecules/s"):
        table.add_column(column, justify="right")
    table.add_row("molgraph", f"{128 * len(batches) / ours:.0f}")
    table.add_row("bare nn.GRU", f"{128 * len(batches) / theirs:.0f}")
    table.add_row("time ratio", f"{ours / theirs:.2f}")
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=256)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    texts = [text for text, *_ in open_texts({"name": "moses_fragments"}).rows("train")]
    vocabulary = Vocabulary.build(texts)
    corpus = Corpus.build(texts, vocabulary)
    console = Console()
    console.print(generation(arguments.count, len(vocabulary)))
    console.print(training(corpus, len(vocabulary)))
    waste = padding_waste(corpus.sizes, bucket(corpus.sizes, 64, epoch=0))
    console.print(f"padding in bucketed batches of 64: {100 * waste:.1f} %")


if __name__ == "__main__":
    main()
