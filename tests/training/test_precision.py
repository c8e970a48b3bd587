import pytest
import torch

from molgraph.training import precision
from molgraph.training.precision import autocast, choose_device, describe_device, fastest_float32_matmul, set_precision

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def restored():
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def test_a_faster_kernel_is_taken_only_where_it_is_as_accurate(monkeypatch):
    setting = fastest_float32_matmul()
    assert setting in ("highest", "medium")
    set_precision("auto", CPU)
    assert torch.get_float32_matmul_precision() == setting
    left, right = torch.randn(500, 300), torch.randn(300, 200)
    exact = left.double() @ right.double()
    assert ((left @ right).double() - exact).norm() / exact.norm() < precision.MAX_RELATIVE_ERROR


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
