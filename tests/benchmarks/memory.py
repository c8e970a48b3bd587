"""Does a million molecules train within 2 GB? The peak memory of a whole run of a language model, its report included.

python -m tests.benchmarks.memory [--data moses] [--steps 200] [--conditions logp]

Peak of the process by getrusage, and of it together with its workers: proportional set sizes, sampled every 0.2 s.
"""

import argparse
import contextlib
import json
import os
import resource
import tempfile
import threading
import time
from pathlib import Path

import yaml
from rich.console import Console

from molgraph.training.config import CONF
from molgraph.training.run import train


def config(data, steps, conditions):
    """What `molgraph train experiment=smiles_gru data=...` resolves to, for a few steps."""
    node = yaml.safe_load((CONF / "data" / f"{data}.yaml").read_text())
    shape = {"cell": "gru", "width": 256, "layers": 1, "dropout": 0.0}
    task = {"_target_": "molgraph.sequences.language.experiment.LanguageExperiment", "batch_size": 128, "samples": 1000}
    trainer = {"epochs": 1, "max_steps": steps, "threads": 1, "precision": "bf16", "device": "cpu"}
    return {
        "data": node,
        "model": {"shape": shape, "notation": "smiles", "longest": 128},
        "task": task | {"conditions": conditions},
        "trainer": trainer | {"optimizer": {"learning_rate": 0.003}},
        "seed": 0,
        "logger": {"kind": "csv"},
    }


def family(pid):
    """A process and all that it started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in family(int(child)))]


def proportional(pid):
    """Memory of a process in bytes, shared pages counted in parts."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


class Watch(threading.Thread):
    """Remembers the largest sum."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak = self.told = 0

    def run(self):
        while True:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a worker ended while it was looked at
                self.peak = max(self.peak, sum(proportional(pid) for pid in family(os.getpid())))
            if self.peak > self.told + 50e6:
                self.told = self.peak
                print(f"peak so far {self.peak / 1e9:.2f} GB", flush=True)
            time.sleep(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="moses")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--conditions", nargs="*", default=[])
    arguments = parser.parse_args()
    watch, start = Watch(), time.perf_counter()
    watch.start()
    with tempfile.TemporaryDirectory() as folder:
        train(config(arguments.data, arguments.steps, arguments.conditions), Path(folder) / "run", Console())
    own = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    values = {"process": own, "largest worker": child, "all together": watch.peak}
    print(json.dumps({name: f"{size / 1e9:.2f} GB" for name, size in values.items()}))
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
