"""Side by side: each variant in a process of its own, in random order; medians, quartiles, and the floors."""

import functools
import multiprocessing
import platform
import random
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from molgraph.training.hardware.allocator import keep_memory
from molgraph.training.hardware.precision import bound_primitive_caches, probe

CONTEXT = multiprocessing.get_context("fork")
PACKAGES = ("torch", "rdkit", "dgl", "chemprop", "cuik_molmaker_pin", "torch_geometric", "scipy", "ase", "numpy")


@dataclass(frozen=True)
class Variant:
    """One way to do the work.

    Attributes:
        name: what the table calls it.
        make: prepares the data and returns the work, a function without arguments.
        setting: float32 matmul setting under which it runs.
        keep: whether it runs with molgraph's setting of the memory allocator.
    """

    name: str
    make: Callable[[], Callable[[], object]]
    setting: str = "highest"
    keep: bool = False


@dataclass
class Row:
    """What was measured of one variant; ``ratio`` is its time over molgraph's, round by round."""

    work: str
    name: str
    size: int
    unit: str
    median: float
    quartiles: tuple[float, float]
    ratio: float
    ratio_quartiles: tuple[float, float]
    extra: dict = field(default_factory=dict)


def quartiles(values):
    """Return the lower and the upper quartile."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def clock():
    """CPU time where one thread does the work: a busy machine then disturbs little. Wall time otherwise."""
    return time.process_time if torch.get_num_threads() == 1 else time.perf_counter


class Worker:
    """A process of its own for each variant, so that none inherits another's memory, caches or settings."""

    def __init__(self, variant, threads):
        self.name = variant.name
        self.pipe, other = CONTEXT.Pipe()
        self.process = CONTEXT.Process(target=_serve, args=(variant, threads, other), daemon=True)
        self.process.start()
        other.close()
        self.ask(None)

    def ask(self, question):
        """Send a question and return the answer."""
        if question is not None:
            self.pipe.send(question)
        try:
            answer = self.pipe.recv()
        except EOFError:
            raise RuntimeError(f"{self.name} has failed, see above") from None
        return answer

    def close(self):
        """End the process; return its peak memory in MiB."""
        peak = self.ask("peak")
        self.process.join()
        return peak


def _serve(variant, threads, pipe):
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(variant.setting)
    if variant.keep:
        keep_memory()
        bound_primitive_caches()
    work, now = variant.make(), clock()
    work()
    pipe.send("ready")
    while pipe.recv() == "run":
        start = now()
        work()
        pipe.send(now() - start)
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def interleave(variants, rounds, threads):
    """Run all variants in ``rounds`` different orders; return the seconds and the peak memory of each."""
    workers = [Worker(variant, threads) for variant in variants]
    seconds = {worker.name: [] for worker in workers}
    for number in range(rounds + 1):
        for worker in random.sample(workers, len(workers)):
            value = worker.ask("run")
            if number:  # the first round warms up
                seconds[worker.name].append(value)
    return seconds, {worker.name: worker.close() for worker in workers}


def apart(function, threads, *arguments):
    """Return ``function(*arguments)`` of another process: this one stays without threads and can fork safely."""
    with CONTEXT.Pool(1, torch.set_num_threads, (threads,)) as pool:
        return pool.apply(function, arguments)


@functools.cache
def chosen_setting(threads):
    """Return the float32 matmul setting that molgraph chooses here."""
    return apart(probe, threads).float32


def compare(work, variants, rounds, size, threads, unit="ms", per=1.0):
    """Measure variants, the first of them molgraph's, and return a row for each; ``per`` divides the seconds."""
    scale = {"ms": 1e3, "us": 1e6, "s": 1.0}[unit] / per
    seconds, peaks = interleave(variants, rounds, threads)
    ours = seconds[variants[0].name]
    rows = []
    for name, times in seconds.items():
        ratios = [theirs / mine for theirs, mine in zip(times, ours, strict=True)]
        values = [scale * value for value in times]
        spread = quartiles(values)
        middle, ratio = statistics.median(values), statistics.median(ratios)
        rows.append(Row(work, name, size, unit, middle, spread, ratio, quartiles(ratios), {"peak MiB": peaks[name]}))
    return rows


def matmul_rate(setting, width=300, rows=4096):
    """Return the measured float32 GFLOP/s of ``[rows, width] x [width, width]`` under a matmul setting."""
    left, right, now = torch.randn(rows, width), torch.randn(width, width), clock()
    torch.set_float32_matmul_precision(setting)
    times = []
    for _ in range(30):
        start = now()
        _ = left @ right
        times.append(now() - start)
    torch.set_float32_matmul_precision("highest")
    return 2 * rows * width * width / statistics.median(times) / 1e9


def bandwidth(megabytes=256):
    """Return the measured GB/s of a copy that no cache holds, reads and writes counted."""
    source, now = torch.zeros(megabytes * 2**18), clock()
    target = torch.zeros_like(source)
    times = []
    for _ in range(7):
        start = now()
        target.copy_(source)
        times.append(now() - start)
    return 2 * source.nbytes / statistics.median(times) / 1e9


def flops(step):
    """Return the floating point operations of the matrix products of one call, in GFLOP."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops() / 1e9


def saved_bytes(loss, known):
    """Return the bytes that autograd keeps for the backward pass of ``loss()``, without those of ``known`` tensors."""
    given = {tensor.untyped_storage().data_ptr() for tensor in known}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in given:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = loss()  # held, so that no storage is freed and its address used again
    total = sum(kept.values())
    del result
    return total


def machine(threads):
    """Describe where and with what the measurement ran."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "processor": processor(),
        "threads": threads,
        "clock": "CPU time" if threads == 1 else "wall time",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
    }


def processor():
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def installed(name):
    """Return the version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
