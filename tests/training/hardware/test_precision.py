import os
import subprocess
import sys

import pytest
import torch

from molgraph.training.hardware import precision
from molgraph.training.hardware.precision import (
    autocast,
    choose_device,
    choose_precision,
    describe_device,
    probe,
    set_precision,
)

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def restored():
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def test_a_faster_kernel_is_taken_only_where_it_is_as_accurate(monkeypatch):
    setting = probe().float32
    assert setting in ("highest", "medium")
    set_precision("auto", CPU)
    assert torch.get_float32_matmul_precision() == setting
    left, right = torch.randn(500, 300), torch.randn(300, 200)
    exact = left.double() @ right.double()
    assert ((left @ right).double() - exact).norm() / exact.norm() < precision.MAX_RELATIVE_ERROR


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """A cache folder of its own; the list grows with each measurement."""
    calls, measure = [], precision._measure
    monkeypatch.setenv("MOLGRAPH_CACHE", str(tmp_path))
    monkeypatch.setattr(precision, "_measure", lambda: calls.append(1) or measure())
    yield calls
    probe.cache_clear()


def test_a_machine_is_measured_once(monkeypatch, measured, tmp_path):
    def another_run():
        probe.cache_clear()
        return probe()

    first = another_run()
    assert first.bf16 > 0 and another_run() == first and len(measured) == 1
    (tmp_path / "precision.json").write_text("{")
    another_run()
    assert len(measured) == 2, "a damaged file"
    monkeypatch.setattr(torch, "__version__", "9.9")
    another_run()
    assert len(measured) == 3, "another PyTorch"


def test_a_faster_bf16_is_told_and_not_taken(monkeypatch):
    monkeypatch.setattr(precision, "probe", lambda: precision.Probe("highest", 1.7))
    assert set_precision("auto", CPU) == "float32 (bf16 is 1.7 times as fast)"
    assert set_precision("float32", CPU) == "float32"


def test_a_gpu_that_emulates_bf16_is_not_taken_for_fast(monkeypatch):
    for native in (True, False):
        ask = lambda including_emulation=True, native=native: including_emulation or native  # noqa: E731
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", ask)
        assert choose_precision("fastest", torch.device("cuda")) == ("bf16" if native else "auto")


@pytest.mark.parametrize(("gain", "chosen"), [(1.7, "bf16"), (1.1, "auto"), (0.04, "auto")])
def test_the_fastest_precision_is_bf16_only_where_that_is_faster(monkeypatch, gain, chosen):
    monkeypatch.setattr(precision, "probe", lambda: precision.Probe("highest", gain))
    assert choose_precision("fastest", CPU) == chosen
    assert [choose_precision(name, CPU) for name in ("auto", "float32", "bf16")] == ["auto", "float32", "bf16"]


def test_a_bf16_that_is_slow_is_told(monkeypatch):
    monkeypatch.setattr(precision, "probe", lambda: precision.Probe("highest", 0.04))
    assert set_precision("bf16", CPU) == "bf16 autocast (float32 is 25.0 times as fast)"
    monkeypatch.setattr(precision, "probe", lambda: precision.Probe("highest", 1.7))
    assert set_precision("bf16", CPU) == "bf16 autocast"


def test_float32_never_takes_the_faster_kernel():
    torch.set_float32_matmul_precision("medium")
    assert set_precision("float32", CPU) == "float32"
    assert torch.get_float32_matmul_precision() == "highest"


def test_bfloat16_runs_under_autocast():
    with autocast("bf16", CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    with autocast("float32", CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_the_device_is_a_gpu_where_there_is_one():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert "CPU" in describe_device(CPU)


SHAPES = """
import torch
from molgraph.training.hardware.allocator import _resident
from molgraph.training.hardware.precision import set_precision
torch.set_num_threads(1)
set_precision("auto", torch.device("cpu"))
torch.set_float32_matmul_precision("medium")
left, right = torch.randn(3000, 320), torch.randn(320, 300)
left @ right
before = _resident()
with torch.inference_mode():
    for rows in range(500, 2500, 2):
        left[:rows] @ right
print((_resident() - before) // 2**20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_thousand_shapes_of_batches_do_not_fill_the_memory():
    names = (*precision._PRIMITIVE_CACHES, "PYTEST_CURRENT_TEST")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run([sys.executable, "-c", SHAPES], env=environment, capture_output=True, text=True, check=True)
    # MiB: 64 shapes of code, 1 MiB each, or 4 where a CPU has AMX; by default 250, or 1,000 and more
    assert int(done.stdout) < 320
