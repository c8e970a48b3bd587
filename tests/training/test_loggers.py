import json
import math

import pytest
import torch
from rich.console import Console

from molgraph.training.config import OptimizerConfig
from molgraph.training.loggers import CSVLogger, ProgressLine, WandbLogger
from molgraph.training.optim import build_optimizer, learning_rate


def test_metrics_are_lines_and_those_after_the_checkpoint_go(tmp_path):
    path = tmp_path / "metrics.csv"
    logger = CSVLogger(path, 0)
    for epoch in (1, 2, 3):
        logger.log({"epoch": epoch, "step": 10 * epoch, "val_rmse": 1 / epoch})
    again = CSVLogger(path, 2)
    again.log({"epoch": 3, "step": 30, "val_rmse": 0.25})
    assert path.read_text().splitlines() == ["epoch,step,val_rmse", "1,10,1.0", "2,20,0.5", "3,30,0.25"]


def test_wandb_works_offline_and_a_resumed_run_keeps_its_name(tmp_path):
    pytest.importorskip("wandb")
    names = []
    for step in (1, 2):
        logger = WandbLogger("tests", tmp_path, {"seed": 0})
        logger.log({"epoch": step, "step": step, "val_rmse": 0.5})
        names.append(logger.run.id)
        logger.close()
    assert names[0] == names[1]
    assert list((tmp_path / "wandb").glob("offline-run-*"))


def test_without_a_terminal_a_tenth_of_the_run_is_a_line(tmp_path):
    with (tmp_path / "out.txt").open("w") as file:
        line = ProgressLine(Console(file=file), 100, 0)
        for step in range(1, 101):
            line.advance(step)
            line.show(step, f"step {step}")
        line.close()
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 11


def test_a_terminal_shows_a_bar(tmp_path):
    with (tmp_path / "out.txt").open("w") as file:
        line = ProgressLine(Console(file=file, force_terminal=True, width=100), 100, 40)
        line.advance(50)
        line.show(50, "val rmse 0.5")
        line.bar.refresh()
        line.close()
    assert "50/100" in (tmp_path / "out.txt").read_text()


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine(steps):
    config = OptimizerConfig(learning_rate=2.0, final_learning_rate=0.1, warmup=0.2)
    rates = [learning_rate(step, steps, config) for step in range(steps)]
    assert all(0 < rate <= 2.0 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if steps == 1000:
        assert (top, rates[-1]) == (pytest.approx(199, abs=1), pytest.approx(0.2))
        assert rates[600] == pytest.approx(0.2 + 1.8 * 0.5 * (1 + math.cos(math.pi * 400 / 799)))


def test_only_matrices_decay():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    groups = build_optimizer(model, OptimizerConfig(weight_decay=0.1)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (3, 0.0)]


def test_rows_are_plain_numbers(tmp_path):
    CSVLogger(tmp_path / "m.csv", 0).log({"epoch": 1, "step": 1, "x": float("nan")})
    assert json.dumps((tmp_path / "m.csv").read_text())
