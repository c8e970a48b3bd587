"""Batches ahead of time: ``batches -> a thread that makes and pins them -> a short queue -> training``.

A copy to a GPU overlaps with computing only if it is read from pinned memory; elsewhere ``non_blocking`` is ignored.
"""

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from molgraph.training.task import Batches, Resident

AHEAD = 4
"""Batches that are made before they are asked for."""


def ahead(batches: Iterable[Any], device: torch.device) -> Iterator[Any]:
    """Yield the same batches in the same order; for a GPU a thread makes them ahead, in pinned memory.

    A CPU computes with the cores that would prepare, so that nothing is made ahead there.
    """
    return prefetched(batches, pinned) if device.type == "cuda" else iter(batches)


def prefetched(batches: Iterable[Any], prepare: Any = lambda batch: batch) -> Iterator[Any]:
    """Yield ``prepare(batch)`` of each batch, made by one thread in their order; an error comes out where it belongs.

    Args:
        batches: an epoch; must not draw from PyTorch's global generator, which training reads meanwhile.
        prepare: what the thread does with each.
    """
    made: queue.Queue[tuple[str, Any]] = queue.Queue(AHEAD)
    stopped = threading.Event()

    def put(kind: str, value: Any) -> bool:
        while not stopped.is_set():
            try:
                made.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for batch in batches:
                if not put("batch", prepare(batch)):
                    return
        except BaseException as error:
            put("error", error)
        else:
            put("end", None)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = made.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stopped.set()
        thread.join()


def pinned(value: Any) -> Any:
    """Return a batch, a dataclass of tensors and of other dataclasses, with its host tensors in pinned memory."""
    if isinstance(value, Tensor):
        return value.pin_memory() if value.device.type == "cpu" else value
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        return type(value)(map(pinned, value))
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changed = {field.name: pinned(getattr(value, field.name)) for field in fields(value) if field.init}
    return replace(value, **changed)


def on_device(batches: Batches, device: torch.device) -> Batches:
    """Return batches that are made on ``device``, if they can be; others are moved there one by one."""
    return batches.on(device) if isinstance(batches, Resident) else batches


def drawn(batches: Batches, number: int, device: torch.device, step: str = "eager") -> Iterator[Any]:
    """Return the batches of an epoch, made ahead for a GPU.

    Not those that are made on the GPU itself, and none beside captured steps: what another thread asks of the driver
    while a graph is captured would break the capture.
    """
    made_there = getattr(batches, "resident", None) is not None
    return batches.epoch(number) if made_there or step == "captured" else ahead(batches.epoch(number), device)
