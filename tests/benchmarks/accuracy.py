"""Test errors on fixed splits: one run for each table SET.SPLIT.csv.gz of a folder, averaged over the random splits.

python -m tests.benchmarks.accuracy FOLDER OUTPUT [--splits random_0 random_1 random_2] [KEY=VALUE ...]

A table has the columns smiles, the target and split (train, val, test). The keys are those of `molgraph train`, such as
model=gine. A run that OUTPUT holds already is not repeated.
"""

import argparse
import csv
import gzip
import json
import statistics
import subprocess
import sys
from pathlib import Path


def target_of(table):
    with gzip.open(table, "rt") as file:
        return next(name for name in next(csv.reader(file)) if name not in ("smiles", "split"))


def run(table, folder, overrides):
    """Train on one table, unless it is done, and return results.json."""
    if not (folder / "results.json").exists():
        keys = [f"data.path={table}", f"data.targets=[{target_of(table)}]", f"hydra.run.dir={folder}"]
        fixed = ["data=csv", "data.split=column", "data.split_column=split"]
        words = [sys.executable, "-m", "molgraph", "train", *fixed, *keys, *overrides]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "results.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with SET.SPLIT.csv.gz")
    parser.add_argument("output", type=Path, help="folder for the runs")
    parser.add_argument("--sets", nargs="+", default=["esol", "freesolv", "bbbp"])
    parser.add_argument("--splits", nargs="+", default=["random_0", "random_1", "random_2"])
    arguments, overrides = parser.parse_known_args()
    for name in arguments.sets:
        tables = [(arguments.folder / f"{name}.{split}.csv.gz").resolve() for split in arguments.splits]
        results = [run(table, (arguments.output / table.name[:-7]).resolve(), overrides) for table in tables]
        monitor = results[0]["monitor"]
        values = [next(iter(result["test"].values()))[monitor] for result in results]
        seconds = statistics.mean(result["seconds"] for result in results)
        listed = " ".join(f"{value:.3f}" for value in values)
        print(
            f"{name:10} {monitor.upper():6} {listed}  mean {statistics.mean(values):.3f}  {seconds:.0f} s a run",
            flush=True,
        )


if __name__ == "__main__":
    main()
