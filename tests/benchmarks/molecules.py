"""Molecules side by side: featurization, batches, training steps, saved activations, and their cost over size."""

import csv
import gzip
import os
import random
from dataclasses import replace
from functools import partial
from pathlib import Path

from molgraph.molecules.graphs.convert import featurize_smiles
from molgraph.molecules.reading.catalog import SHIPPED
from molgraph.molecules.reading.smiles import parse_valid
from molgraph.nn.graph import to_dgl
from tests.benchmarks import peers
from tests.benchmarks.measure import Variant, apart, bandwidth, chosen_setting, compare, flops, matmul_rate, saved_bytes

WIDTH, BATCH, REPEATS = 300, 64, 10


def load(count):
    """Return valid SMILES: of the HIV set where ``MOLGRAPH_DATA`` has it, of the shipped B3DB otherwise."""
    path = Path(os.environ.get("MOLGRAPH_DATA", "")) / "hiv.csv.gz"
    path = path if path.is_file() else SHIPPED / "b3db.csv.gz"
    with gzip.open(path, "rt") as file:
        smiles = [row["smiles"] for row in csv.DictReader(file)]
    chosen = random.Random(0).sample(smiles, min(len(smiles), count + count // 20))
    _, errors = parse_valid(chosen)
    return path.name.partition(".")[0], [text for row, text in enumerate(chosen) if row not in errors][:count]


def suite(console, rounds, threads):
    """Measure everything of this file."""
    name, smiles = load(2048)
    console.print(f"molecules of {name}")
    rows = featurization(smiles[:1000], rounds, threads) + batches(smiles[:512], rounds, threads)
    for model in ("GCN", "GAT", "D-MPNN"):
        rows += training(model, smiles, rounds, threads)
    return rows + curves(smiles, max(3, rounds // 3), threads)


def featurization(smiles, rounds, threads):
    """SMILES to graphs in one process."""
    variants = [Variant("molgraph", lambda: lambda: featurize_smiles(smiles)), *peers.featurizers(smiles)]
    rows = compare("featurize", variants, rounds, len(smiles), threads, "us", len(smiles))
    parsing = next(row.median for row in rows if row.name.startswith("RDKit"))
    for row in rows:
        row.extra["share of the floor"] = parsing / row.median
    return rows


def batches(smiles, rounds, threads):
    """Graphs that lie in memory to one batch, ten times in a row: one call alone measures the caches."""
    chosen = random.Random(0).sample(range(len(smiles)), len(smiles))

    def ours(finish=lambda batch: batch):
        graphs = featurize_smiles(smiles)
        tables = graphs.tables()
        return lambda: finish(graphs.batch(chosen, tables))

    variants = [
        Variant("molgraph", ours, keep=True),
        Variant("molgraph, as a DGLGraph", lambda: ours(to_dgl), keep=True),
        *peers.batchers(smiles, chosen),
    ]
    variants = [replace(variant, make=partial(repeated, variant.make)) for variant in variants]
    rows = compare(f"batch of {len(smiles)}", variants, rounds, len(smiles), threads, per=REPEATS)
    rows[0].extra["share of the floor"] = 1e3 * apart(copying, threads, smiles) / rows[0].median
    return rows


def repeated(make):
    """Return the work of ``make()``, done ``REPEATS`` times."""
    work = make()

    def works():
        for _ in range(REPEATS):
            work()

    return works


def copying(smiles):
    """Return the seconds that reading and writing the tensors of a batch takes at the memory's own speed."""
    batch = featurize_smiles(smiles).batch(range(len(smiles)))
    return 2 * sum(tensor.nbytes for tensor in peers.tensors_of(batch)) / bandwidth() / 1e9


class Step:
    """A training step of one model over some batches, one after the other."""

    def __init__(self, model, batches, optimizer):
        self.model, self.batches, self.optimizer = model, batches, optimizer

    def loss(self, batch):
        return self.model(batch).square().mean()

    def __call__(self):
        for batch in self.batches:
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(batch).backward()
            self.optimizer.step()


def training(name, smiles, rounds, threads, size=BATCH, count=4):
    """Forward, backward and optimizer: molgraph, each peer as installed, and each peer with molgraph's switches."""
    setting = chosen_setting(threads)
    parts = [smiles[start : start + size] for start in range(0, size * count, size)]

    def step(peer):
        return lambda: Step(*peers.model(name, peer, parts, WIDTH))

    variants = [Variant("molgraph", step("molgraph"), setting, keep=True)]
    for peer in peers.of_model(name):
        variants.append(Variant(f"{peer} as installed", step(peer)))
        variants.append(Variant(f"{peer} with equal switches", step(peer), setting, keep=True))
    rows = compare(f"{name} training step", variants, rounds, size, threads, per=count)
    work, rate = apart(floor, threads, name, parts, setting)
    rows[0].extra |= {"share of the floor": 1e3 * work / count / rate / rows[0].median, "matmul GFLOP/s": rate}
    for row in rows if size == BATCH else []:
        peer = row.name.split(" as ")[0].split(" with ")[0]
        row.extra["MiB saved at 256"] = apart(saved, threads, name, peer, smiles[:256])
    return rows


def floor(name, parts, setting):
    """Return the GFLOP of a step over ``parts`` and the rate at which this machine multiplies."""
    return flops(Step(*peers.model(name, "molgraph", parts, WIDTH))), matmul_rate(setting)


def saved(name, peer, smiles):
    """Return the MiB of activations that a step saves."""
    model, (batch,), _ = peers.model(name, peer, [smiles], WIDTH)
    known = [*model.parameters(), *model.buffers(), *peers.tensors_of(batch)]
    return saved_bytes(lambda: model(batch).square().mean(), known) / 2**20


def curves(smiles, rounds, threads):
    """Training steps over the size of the batch."""
    rows = []
    for name in ("GCN", "D-MPNN"):
        for size in (16, 32, 128, 256, 512):
            rows += training(name, smiles, rounds, threads, size, 1)
    return rows
