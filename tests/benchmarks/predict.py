"""CSV to CSV: ``molgraph predict`` beside ``chemprop predict`` with the same D-MPNN weights, from start to end."""

import csv
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from rdkit import Chem

from molgraph.molecules.graphs.features import ATOM_FEATURES, BOND_FEATURES, BOND_WIDTH
from molgraph.molecules.models.graph_predictor import GraphPredictor
from molgraph.molecules.tasks import make_task
from molgraph.training.checkpoint import save_checkpoint
from tests.benchmarks import peers
from tests.benchmarks.measure import Row, quartiles
from tests.benchmarks.molecules import load
from tests.choices import choice

CHEMPROP = "from chemprop.cli.main import main; main()"


def suite(console, rows, threads, rounds=3):
    """Predict a file of ``rows`` molecules in turns; the outputs are compared first."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_molecules(folder / "in.csv", rows)
        model = save_models(folder)
        commands = {"molgraph": ours(folder)}
        if peers.has("chemprop"):
            commands["chemprop"] = theirs(folder, [])
            if peers.has("cuik_molmaker"):
                commands["chemprop, C++ featurizer"] = theirs(folder, ["--use-cuikmolmaker-featurization"])
        else:
            console.print(f"only molgraph is measured, {sum(p.numel() for p in model.parameters()):,} random weights")
        return measure(folder, commands, rows, threads, rounds)


def write_molecules(path, rows):
    """Write molecules without stereo marks and isotopes: of those, chemprop's features tell something else."""
    _, smiles = load(min(rows, 20_000) * 2)
    strange = re.compile(r"[@/\\]|\[\d")
    plain = [text for text in smiles if not strange.search(text)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles"])
        writer.writerows([plain[number % len(plain)]] for number in range(rows))


def ours(folder):
    return [sys.executable, "-m", "molgraph", "predict", str(folder), "-i", str(folder / "in.csv"), "--device", "cpu"]


def theirs(folder, options):
    words = ["predict", "-i", str(folder / "in.csv"), "--model-paths", str(folder / "model.pt"), "--accelerator", "cpu"]
    return [sys.executable, "-W", "ignore", "-c", CHEMPROP, *words, *options]


def measure(folder, commands, rows, threads, rounds):
    """Run the commands in turns and return a row for each; wall time, because they use several processes."""
    seconds, work = {name: [] for name in commands}, {name: [] for name in commands}
    memory, outputs = dict.fromkeys(commands, 0.0), {}
    for _ in range(rounds):
        for name in random.sample(list(commands), len(commands)):
            output = folder / f"{len(outputs)}.csv" if name not in outputs else outputs[name]
            outputs[name] = output
            wall, cpu, peak = run([*commands[name], "-o", str(output)], threads)
            seconds[name].append(wall)
            work[name].append(cpu)
            memory[name] = max(memory[name], peak)
    compare_outputs(outputs)
    result = []
    for name, times in seconds.items():
        ratios = [one / other for one, other in zip(times, seconds["molgraph"], strict=True)]
        middle, ratio = float(np.median(times)), float(np.median(ratios))
        what = f"CSV to CSV, {rows:,} rows"
        result.append(Row(what, name, rows, "s", middle, quartiles(times), ratio, quartiles(ratios)))
        result[-1].extra = {"CPU s": float(np.median(work[name])), "peak MiB of all processes": memory[name]}
    return result


def run(words, threads):
    """Run a command to its end; return wall and CPU seconds, and the largest memory of all its processes in MiB."""
    start, before, peak = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN), 0.0
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
        while process.poll() is None:
            peak = max(peak, memory_of(process.pid))
            time.sleep(0.5)  # looking is work, too
        if process.returncode:
            log.seek(0)
            raise RuntimeError(f"{' '.join(words)} failed:\n{log.read().decode()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu, peak


def memory_of(process):
    """Return the memory of a process and its children in MiB, shared pages counted once (Linux; 0 elsewhere)."""
    folder = Path("/proc") / str(process)
    try:
        tasks = [(task / "children").read_text().split() for task in (folder / "task").iterdir()]
        lines = (folder / "smaps_rollup").read_text().splitlines()
    except (OSError, ValueError):
        return 0.0
    own = sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
    return own + sum(memory_of(int(child)) for children in tasks for child in children)


def compare_outputs(outputs):
    """Stop where two files differ in rows or values."""
    columns = {}
    for name, path in outputs.items():
        with path.open(newline="") as file:
            found = list(csv.DictReader(file))
        column = next(key for key in found[0] if key.startswith(("y_predicted", "pred")))
        columns[name] = torch.tensor([float(row[column]) for row in found])
    for name, values in columns.items():
        # A handful of metal complexes lose digits in any order of adding up.
        far = (values - columns["molgraph"]).abs() > 1e-4
        if len(values) != len(columns["molgraph"]) or far.float().mean() > 1e-3:
            raise ValueError(f"{name} predicts something else than molgraph in {int(far.sum())} of {len(far)} rows")


def save_models(folder):
    """Write one network for both programs; return molgraph's."""
    config = choice("model", "dmpnn")
    options = {key: value for key, value in config.items() if key != "_target_"}
    torch.manual_seed(0)
    model = GraphPredictor(1, **options)
    if peers.has("chemprop"):
        from chemprop.models.utils import save_model

        network = peers.chemprop_network(72, 14, 300)
        copy_weights(network, model)
        save_model(folder / "model.pt", network)
    state = {"kind": "regression", "targets": [{"name": "y", "unit": ""}], "classes": [], "outputs": 1}
    state |= {"statistics": {"mean": [0.0], "std": [1.0]}, "model": {}, "split": ""}
    task = make_task(model, ["y"], "regression", state["statistics"])
    run_config = {"data": {}, "model": config, "task": {"_target_": "molgraph.molecules.experiment.PropertyExperiment"}}
    content = {"task": task.state_dict(), "config": yaml.safe_dump(run_config), "state": yaml.safe_dump(state)}
    save_checkpoint(folder / "best.pt", content)
    return model


def copy_weights(network, model):
    """Give molgraph's network the weights of chemprop's, its features translated into molgraph's."""
    atoms, bonds = atom_translation(), bond_translation()
    messages, encoder = network.message_passing, model.encoder
    linears = [layer for layer in network.predictor.ffn.modules() if isinstance(layer, torch.nn.Linear)]
    heads = [layer for layer in model.head if isinstance(layer, torch.nn.Linear)]
    inputs, outputs, width = messages.W_i.weight, messages.W_o.weight, len(atoms)
    pairs = [
        (encoder.atom_in.weight, inputs[:, :width] @ atoms),
        (encoder.bond_in.weight, inputs[:, width:] @ bonds),
        (encoder.message.weight, messages.W_h.weight),
        (encoder.atom_out.weight, outputs[:, :width] @ atoms),
        (encoder.message_out.weight, outputs[:, width:]),
        (encoder.atom_out.bias, messages.W_o.bias),
        *((first.weight, second.weight) for first, second in zip(heads, linears, strict=True)),
        *((first.bias, second.bias) for first, second in zip(heads, linears, strict=True)),
    ]
    with torch.no_grad():
        for mine, other in pairs:
            mine.copy_(other)


def atom_translation():
    """Return the matrix ``[72, ATOM_WIDTH]`` from molgraph's atom features to chemprop's."""
    from chemprop.featurizers import MultiHotAtomFeaturizer

    theirs = MultiHotAtomFeaturizer.v2()
    hybridizations = {int(kind): place for kind, place in theirs.hybridizations.items()}
    books = [
        theirs.atomic_nums,
        theirs.degrees,
        theirs.formal_charges,
        theirs.num_Hs,
        hybridizations,
        None,
        theirs.chiral_tags,
    ]
    starts = np.cumsum([0, *(len(book) + 1 for book in theirs._subfeats)])
    places = [starts[0], starts[1], starts[2], starts[4], starts[5], starts[6], starts[3]]
    column, table = 0, Chem.GetPeriodicTable()
    matrix = torch.zeros(len(theirs), sum(feature.width for feature in ATOM_FEATURES))
    for feature, book, place in zip(ATOM_FEATURES, books, places, strict=False):
        for value in feature.values or (1,):
            matrix[place + (0 if book is None else book.get(value, len(book))), column] = 1
            if feature is ATOM_FEATURES[0]:
                matrix[-1, column] = 0.01 * table.GetAtomicWeight(value)
            column += 1
        if feature.values:
            matrix[place + len(book), column] = 1
            column += 1
    return matrix


def bond_translation():
    """Return the matrix ``[14, BOND_WIDTH]`` from molgraph's bond features to chemprop's."""
    matrix = torch.zeros(14, BOND_WIDTH)
    order, conjugated, ring, stereo = 0, 5, 6, 7  # first columns of the blocks of BOND_FEATURES
    for place in range(4):
        matrix[1 + place, order + place] = 1
    matrix[5, conjugated] = matrix[6, ring] = 1
    for place, value in enumerate(BOND_FEATURES[3].values):
        matrix[7 + value, stereo + place] = 1
    return matrix
