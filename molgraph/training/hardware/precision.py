"""How fast and how exactly this machine multiplies: device, float32 matmul setting, bf16 autocast."""

import functools
import hashlib
import json
import os
import platform
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from molgraph.training.cache import cache_folder

MAX_RELATIVE_ERROR = 1e-5
"""A faster float32 matmul is used only where its result is this close to the ordinary one."""

WORTH_SAYING = 1.2
"""From this gain on, a user of float32 is told of bf16, and ``fastest`` takes it."""

_KEPT = "precision.json"

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
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"


def bound_primitive_caches() -> None:
    """Let oneDNN keep code for a few shapes only, unless the environment says something; before it first multiplies."""
    for cache in _PRIMITIVE_CACHES:
        os.environ.setdefault(cache, str(_PRIMITIVES))


@dataclass(frozen=True)
class Probe:
    """How this CPU multiplies best."""

    float32: str
    """``"medium"`` where that is faster than ``"highest"`` and as accurate, else ``"highest"``."""
    bf16: float
    """How many times as fast a product in bfloat16 is."""


@functools.cache
def probe() -> Probe:
    """Return what was measured on this processor with this PyTorch, now or by an earlier run.

    On a CPU with AVX-512-BF16, oneDNN's "medium" runs twice as fast as MKL with the same accuracy; on one with AMX the
    same setting really rounds to bf16. So all are run and compared, in a few milliseconds.
    """
    bound_primitive_caches()
    with suppress(OSError, ValueError, TypeError, KeyError):  # not measured yet, or a damaged file
        return Probe(**json.loads((cache_folder() / _KEPT).read_text())[_machine()])
    found = _measure()
    with suppress(OSError):  # there may be no place to keep it
        aside = cache_folder() / f"{_KEPT}.{os.getpid()}"
        aside.write_text(json.dumps({_machine(): asdict(found)}))
        aside.replace(cache_folder() / _KEPT)
    return found


def _machine() -> str:
    """Return a mark of processor and PyTorch."""
    processor = Path("/proc/cpuinfo")
    text = processor.read_text().split("\n\n")[0] if processor.exists() else platform.processor()
    kept = [line for line in text.splitlines() if not line.startswith(("cpu MHz", "bogomips"))]
    return hashlib.sha256("\n".join([*kept, torch.__version__]).encode()).hexdigest()[:16]


def _measure() -> Probe:
    before = torch.get_float32_matmul_precision()
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(2048, 320, generator=generator)
    right = torch.randn(320, 320, generator=generator)
    exact = left.double() @ right.double()
    seconds: dict[str, list[float]] = {"highest": [], "medium": [], "bf16": []}
    errors = {}
    for _ in range(8):
        for setting, times in seconds.items():
            torch.set_float32_matmul_precision("highest" if setting == "bf16" else setting)
            start = time.process_time()  # what others do on a busy machine does not count
            product = left.bfloat16() @ right.bfloat16() if setting == "bf16" else left @ right
            times.append(time.process_time() - start)
            errors[setting] = (product.double() - exact).norm() / exact.norm()
    torch.set_float32_matmul_precision(before)
    best = {setting: min(times) for setting, times in seconds.items()}
    good = errors["medium"] < MAX_RELATIVE_ERROR and best["medium"] < 0.9 * best["highest"]
    chosen = "medium" if good else "highest"
    return Probe(chosen, max(0.01, round(best[chosen] / best["bf16"], 2)))


def choose_precision(name: str, device: torch.device) -> str:
    """Return what ``fastest`` stands for on this machine, ``bf16`` or ``auto``; other names stand for themselves.

    A CPU without bf16 arithmetic emulates it, ten to thirty times slower than float32, and so do GPUs before Ampere.
    """
    if name != "fastest":
        return name
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = probe().bf16 > WORTH_SAYING
    return "bf16" if fast else "auto"


def set_precision(precision: str, device: torch.device) -> str:
    """Set the float32 matmul kernel for ``precision`` (``float32``, ``bf16``, ``auto``) and say what was chosen."""
    probed = probe() if precision != "float32" and device.type == "cpu" else Probe("highest", 1.0)
    torch.set_float32_matmul_precision(probed.float32)
    if precision == "bf16":
        slower = 1 / probed.bf16
        return f"bf16 autocast (float32 is {slower:.1f} times as fast)" if slower > WORTH_SAYING else "bf16 autocast"
    kernel = "float32, oneDNN matmul" if probed.float32 == "medium" else "float32"
    return f"{kernel} (bf16 is {probed.bf16:.1f} times as fast)" if probed.bf16 > WORTH_SAYING else kernel


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a forward pass runs."""
    return torch.autocast(device.type, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()
