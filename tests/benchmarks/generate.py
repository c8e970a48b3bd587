"""Molecules per second of batched generation against one by one, and the cost of training beside a bare loop.

python tests/benchmarks/generate.py [--count 512]

The loops one by one are what anybody would write first: the prefix read anew for each token, or a state that is kept.
Before anything is timed, greedy decoding has to give the same tokens in all three.
"""

import argparse
import time

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional

from molgraph.sequences.decoding.decode import decode
from molgraph.sequences.decoding.strategies import Beam, Greedy, Sampling
from molgraph.sequences.language.experiment import LanguageBatches, LanguageTask
from molgraph.sequences.layers.architecture import make_decoder, make_shape
from molgraph.sequences.text.corpora import open_texts
from molgraph.sequences.text.dataset import Corpus, bucket, padding_waste
from molgraph.sequences.text.tokenizer import BOS, EOS, PAD, UNK, Vocabulary

SHAPES = {
    "gru 256": {"cell": "gru", "width": 256, "layers": 1, "dropout": 0.0},
    "lstm 256": {"cell": "lstm", "width": 256, "layers": 1, "dropout": 0.0},
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


def drawn(logits, greedy):
    """The next token of one sequence."""
    logits[[PAD, BOS, UNK]] = -torch.inf
    return int(logits.argmax()) if greedy else int(torch.multinomial(logits.softmax(-1), 1))


@torch.no_grad()
def prefix_anew(decoder, conditions, greedy=False):
    """A plain loop: one sequence, one token at a time, the whole prefix read anew by a decoder without state."""
    written = []
    for condition in conditions.split(1):
        tokens = [BOS]
        while len(tokens) <= LIMIT and tokens[-1] != EOS:
            tokens.append(drawn(decoder(torch.tensor([tokens]), condition=condition)[0, -1], greedy))
        written.append([token for token in tokens[1:] if token != EOS])
    return written


@torch.no_grad()
def state_kept(decoder, conditions, greedy=False):
    """A plain loop that is less wasteful: one sequence, one token at a time, the state handed on."""
    written = []
    for condition in conditions.split(1):
        tokens, state = [BOS], decoder.start(1, LIMIT + 1, condition=condition)
        while len(tokens) <= LIMIT and tokens[-1] != EOS:
            logits, state = decoder.step(torch.tensor(tokens[-1:]), state)
            tokens.append(drawn(logits[0], greedy))
        written.append([token for token in tokens[1:] if token != EOS])
    return written


def check_equal(decoder, conditions):
    """Raises if greedy decoding in a batch writes anything else than one by one."""
    together = [row[0].tokens for row in decode(decoder, Greedy(), len(conditions), LIMIT, condition=conditions)]
    if len({tuple(tokens) for tokens in together}) < 2:
        raise ValueError("all sequences are equal; such a check shows nothing")
    for loop in (prefix_anew, state_kept):
        if loop(decoder, conditions, greedy=True) != together:
            raise ValueError(f"{loop.__name__} and the batched loop write different sequences")


def seconds(function, repeats=3):
    """Best of a few runs, in CPU time: with one thread it is the time on an idle machine, also on a busy one."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def generation(count, tokens):
    title = f"generation, {count} sequences of at most {LIMIT} tokens, 1 thread: molecules per second"
    table = Table(title=title, title_justify="left")
    for column in ("model", "prefix anew", "state kept", "batched", "beam of 5", "batched / prefix", "batched / state"):
        table.add_column(column, justify="right")
    for name, shape in SHAPES.items():
        loops, fast, beam = throughput(shape, count, tokens)
        speeds = [f"{value:.0f}" for value in (*loops, fast, beam)]
        table.add_row(name, *speeds, *(f"{fast / loop:.0f}x" for loop in loops))
    return table


def throughput(shape, count, tokens):
    """Sequences per second of the two plain loops, of the batched one and of a beam."""
    torch.manual_seed(0)
    decoder = make_decoder(make_shape(shape), tokens, condition=2).eval()
    decoder.out.weight.data.mul_(2)  # probabilities that differ clearly: rounding cannot change the greedy choice
    wishes, few = 3 * torch.randn(count, 2), max(8, count // 16)
    check_equal(decoder, wishes[:few])
    slow = [few / seconds(lambda: prefix_anew(decoder, wishes[:few]))]
    slow.append(few / seconds(lambda: state_kept(decoder, wishes[:few])))
    fast = count / seconds(lambda: decode(decoder, Sampling(seed=0), count, LIMIT, condition=wishes))
    beam = few / seconds(lambda: decode(decoder, Beam(5), few, LIMIT, condition=wishes[:few]))
    return slow, fast, beam


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
        logits, targets = bare(sequences[:, :-1]).flatten(0, 1), sequences[:, 1:].flatten()
        return functional.cross_entropy(logits, targets, ignore_index=PAD)

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
    parser.add_argument("--count", type=int, default=512)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    texts = [text for text, *_ in open_texts({"name": "moses_fragments"}).rows("train")]
    vocabulary = Vocabulary.build(texts)
    corpus = Corpus.build(texts, vocabulary)
    console = Console(width=120)
    console.print(generation(arguments.count, len(vocabulary)))
    console.print(training(corpus, len(vocabulary)))
    waste = padding_waste(corpus.sizes, bucket(corpus.sizes, 64, epoch=0))
    console.print(f"padding in bucketed batches of 64: {100 * waste:.1f} %")


if __name__ == "__main__":
    main()
