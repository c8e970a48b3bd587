"""Cost over the number of tokens: one forward pass of encoders with each kind of attention, and of a GRU."""

import torch

from molgraph.sequences.layers.architecture import make_encoder, make_shape
from molgraph.sequences.text.batch import pad
from tests.benchmarks.measure import Variant, compare

SIZES = (128, 256, 512, 1024, 2048)
ATTENTIONS = ("full", "set_transformer", "linformer", "bigbird", "perceiver")
SHAPE = {"width": 64, "layers": 2, "heads": 4, "feed_forward": 256, "dropout": 0.0}


def suite(console, rounds, threads):
    """Measure a forward pass at several lengths; full attention is the row that the others are compared with."""
    shapes = {name: SHAPE | {"attention": name} for name in ATTENTIONS} | {
        "gru": {"cell": "gru", "width": 64, "dropout": 0.0}
    }
    rows = []
    for length in SIZES:
        variants = [
            Variant(name, lambda shape=shape, size=length: passes(shape, size)) for name, shape in shapes.items()
        ]
        rows += compare("encoder over tokens", variants, max(3, rounds // 3), length, threads)
    return rows


def passes(shape, length):
    """Return one forward pass over two sequences of the given length."""
    torch.manual_seed(0)
    encoder = make_encoder(make_shape(shape), 40, longest=max(SIZES) + 2).eval()
    source = pad([torch.randint(4, 40, (length,)).tolist() for _ in range(2)])

    @torch.no_grad()
    def work():
        return encoder(source)

    return work
