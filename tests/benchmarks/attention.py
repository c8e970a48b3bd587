"""Is attention worth it? random_to_canonical on fragments, equal steps, without and with attention.

python tests/benchmarks/attention.py [--steps 500]
"""

import argparse
import tempfile
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from molgraph.training.config import CONF
from molgraph.training.run import train


def config(attention, steps):
    """What `molgraph train experiment=random_to_canonical model.shape.attention=...` resolves to."""
    experiment = yaml.safe_load((CONF / "experiment" / "random_to_canonical.yaml").read_text())
    nodes = {group: yaml.safe_load((CONF / group / f"{name}.yaml").read_text()) for group, name in chosen(experiment)}
    for group in ("data", "model", "task"):
        nodes[group] = merged(nodes[group], experiment.get(group, {}))
    nodes["model"]["shape"]["attention"] = attention
    trainer = experiment["trainer"] | {"max_steps": steps, "threads": 1}
    return nodes | {"trainer": trainer, "seed": 0, "logger": {"kind": "csv"}}


def chosen(experiment):
    return [(key.removeprefix("override /"), name) for node in experiment["defaults"] for key, name in node.items()]


def merged(left, right):
    both = dict(left)
    for key, value in right.items():
        both[key] = merged(left[key], value) if isinstance(value, dict) and isinstance(left.get(key), dict) else value
    return both


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    arguments = parser.parse_args()
    table = Table(title=f"random_to_canonical, GRU 192, {arguments.steps} steps of 64 pairs", title_justify="left")
    for column in ("attention", "exact match", "top 5", "token accuracy"):
        table.add_column(column, justify="right")
    for attention in ("none", "additive", "dot"):
        with tempfile.TemporaryDirectory() as folder:
            results = train(config(attention, arguments.steps), Path(folder) / "run", Console(quiet=True))
        test, accuracy = results["test"], results["validation"]["token_accuracy"]
        table.add_row(attention, f"{test['top1']:.3f}", f"{test['top5']:.3f}", f"{accuracy:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
