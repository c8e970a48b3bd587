"""How fast and how exactly this machine multiplies: device, float32 matmul setting, bf16 autocast."""

import functools
import os
import time
from contextlib import AbstractContextManager, nullcontext

import torch

MAX_RELATIVE_ERROR = 1e-5
"""A faster float32 matmul is used only where its result is this close to the ordinary one."""

_PRIMITIVE_CACHES = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"
"""What oneDNN and PyTorch's layer over it read, once, when they first multiply."""
_PRIMITIVES = 64
"""Shapes to keep code for. Each batch of molecules has shapes of its own: 1,024 of them, the default, fill 1 GB."""


def choose_device(name: str) -> torch.device:
    """Return the device that ``name`` (``auto``, ``cpu``, ``cuda``, ``cuda:1``) stands for.

    Raises:
        ValueError: a GPU is asked for and there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"trainer.device={name}: this PyTorch sees no GPU; use trainer.device=auto or cpu")
    return torch.device(name)


def describe_device(device: torch.device) -> str:
    """Return the device as a person would say it."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.get_device_name(device)}"
    return f"CPU, {torch.get_num_threads()} threads"


@functools.cache
def fastest_float32_matmul() -> str:
    """Return ``"medium"`` where that is faster than ``"highest"`` on this CPU and as accurate, else ``"highest"``.

    On a CPU with AVX-512-BF16, oneDNN's "medium" runs twice as fast as MKL with the same accuracy; on one with AMX the
    same setting really rounds to bf16. So both are run and compared: once a process, in a few milliseconds.
    """
    for cache in _PRIMITIVE_CACHES:
        os.environ.setdefault(cache, str(_PRIMITIVES))
    before = torch.get_float32_matmul_precision()
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(2048, 320, generator=generator)
    right = torch.randn(320, 320, generator=generator)
    exact = left.double() @ right.double()
    seconds: dict[str, list[float]] = {"highest": [], "medium": []}
    errors = {}
    for _ in range(8):
        for setting, times in seconds.items():
            torch.set_float32_matmul_precision(setting)
            start = time.process_time()  # what others do on a busy machine does not count
            product = left @ right
            times.append(time.process_time() - start)
            errors[setting] = (product.double() - exact).norm() / exact.norm()
    torch.set_float32_matmul_precision(before)
    good = errors["medium"] < MAX_RELATIVE_ERROR and min(seconds["medium"]) < 0.9 * min(seconds["highest"])
    return "medium" if good else "highest"


def set_precision(precision: str, device: torch.device) -> str:
    """Set the float32 matmul kernel for ``precision`` (``float32``, ``bf16``, ``auto``) and say what was chosen.

    Raises:
        ValueError: an unknown precision.
    """
    if precision not in ("float32", "bf16", "auto"):
        raise ValueError(f"trainer.precision={precision!r}: use float32, bf16 or auto")
    setting = "highest"
    if precision != "float32" and device.type == "cpu":
        setting = fastest_float32_matmul()
    torch.set_float32_matmul_precision(setting)
    if precision == "bf16":
        return "bf16 autocast"
    return "float32, oneDNN matmul" if setting == "medium" else "float32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a forward pass runs."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
