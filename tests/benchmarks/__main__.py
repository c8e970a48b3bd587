"""Molgraph beside its peers: python -m tests.benchmarks [molecules|predict|particles|generate|all].

The variants of a piece of work run in turns, in random order, each in a process of its own, after a check that all of
them compute the same. Writes benchmarks.json and curves.png into the folder given with -o.
"""

import argparse
import sys
from pathlib import Path

import torch
from rich.console import Console

from molgraph.training.hardware.precision import probe
from tests.benchmarks import measure, report

SUITES = ("molecules", "predict", "particles", "generate")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=[*SUITES, "all"], nargs="?", default="all")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks"), help="folder (default: benchmarks)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15, help="repetitions of each measurement")
    parser.add_argument("--rows", type=int, default=20_000, help="molecules in the file that predict reads")
    options = parser.parse_args()
    console = Console(width=160)
    facts = measure.machine(options.threads) | measure.apart(floors, options.threads)
    console.print(facts)
    rows = []
    for name in SUITES if options.suite == "all" else [options.suite]:
        rows += run(name, options, console)
    report.show(rows, console)
    console.print("written:", *report.write(options.output, rows, facts))


def floors():
    """Return the rates that nothing on this machine can exceed, and the matmul setting that molgraph chooses."""
    chosen = probe().float32
    rates = {f"matmul GFLOP/s, {setting}": round(measure.matmul_rate(setting)) for setting in {"highest", chosen}}
    return {"matmul setting": chosen, "memory GB/s": round(measure.bandwidth(), 1)} | rates


def run(name, options, console):
    """Run one suite and return its rows."""
    if name == "generate":
        from tests.benchmarks import generate, lengths

        sys.argv = ["generate"]
        generate.main()
        return lengths.suite(console, options.rounds, options.threads)
    if name == "molecules":
        from tests.benchmarks.molecules import suite

        return suite(console, options.rounds, options.threads)
    if name == "particles":
        from tests.benchmarks.particles import suite

        return suite(console, options.rounds, options.threads)
    from tests.benchmarks.predict import suite

    return suite(console, options.rows, options.threads)


if __name__ == "__main__":
    main()
