import json
import sys

import pytest
from PIL import Image
from rich.console import Console

from molgraph.training.loggers import CSVLogger, LoggerConfig, ProgressLine, WandbLogger, make_loggers


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
        logger = WandbLogger(LoggerConfig("wandb", "tests"), tmp_path, {"seed": 0})
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


def test_a_file_hears_of_a_long_epoch_every_half_minute(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("molgraph.training.loggers.time.monotonic", lambda: clock[0])
    with (tmp_path / "out.txt").open("w") as file:
        line = ProgressLine(Console(file=file, width=100), 1000, 100)
        for step in range(101, 201):  # one second a step, and no validation
            clock[0] += 1.0
            line.advance(step)
    assert (tmp_path / "out.txt").read_text().splitlines() == [
        "step 130 of 1,000, about 0:14:30 left",
        "step 160 of 1,000, about 0:14:00 left",
        "step 190 of 1,000, about 0:13:30 left",
    ]


def test_a_terminal_shows_a_bar(tmp_path):
    with (tmp_path / "out.txt").open("w") as file:
        line = ProgressLine(Console(file=file, force_terminal=True, width=100), 100, 40)
        line.advance(50)
        line.show(50, "val rmse 0.5")
        line.bar.refresh()
        line.close()
    assert "50/100" in (tmp_path / "out.txt").read_text()


def test_rows_are_plain_numbers(tmp_path):
    CSVLogger(tmp_path / "m.csv", 0).log({"epoch": 1, "step": 1, "x": float("nan")})
    assert json.dumps((tmp_path / "m.csv").read_text())


def test_a_logger_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"logger\.kind='mlflow' is unknown; use csv, wandb, tensorboard"):
        make_loggers({"logger": {"kind": "mlflow"}}, tmp_path)
    with pytest.raises(ValueError, match="its keys are kind, project, name, group, tags"):
        make_loggers({"logger": {"kind": "wandb", "grup": "a"}}, tmp_path)
    assert make_loggers({}, tmp_path) == []


def test_tensorboard_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'molgraph\[tensorboard\]'"):
        make_loggers({"logger": {"kind": "tensorboard"}}, tmp_path)


def test_tensorboard_gets_rows_results_and_pictures_and_hides_what_is_done_again(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    Image.new("RGB", (4, 3)).save(tmp_path / "parity.png")
    for start, steps in ((0, (1, 2, 3)), (2, (3, 4))):  # the second goes on behind a checkpoint of step 2
        (logger,) = make_loggers({"logger": {"kind": "tensorboard"}, "seed": 0}, tmp_path)
        logger.begin(start)
        for step in steps:
            logger.log({"epoch": step, "step": step, "val_rmse": start + 1 / step})
        logger.report({"monitor": "rmse", "test": {"y": {"rmse": 0.25}}}, tmp_path)
        logger.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    shown = events.Scalars("val_rmse")
    assert [event.step for event in shown] == [1, 2, 3, 4]
    assert [event.value for event in shown] == pytest.approx([1.0, 0.5, 2 + 1 / 3, 2.25])
    assert events.Scalars("test/y/rmse")[-1].value == 0.25
    assert events.Images("parity.png")[0].encoded_image_string == (tmp_path / "parity.png").read_bytes()
