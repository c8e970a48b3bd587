"""Several processes that train one model: ``torchrun ... -> World -> share of each batch -> summed gradients``.

Each process reads its share of every batch; gradients are added up so that the sum is the gradient of the whole batch's
mean loss. The first process validates, writes the run folder and tells the others what it found.
"""

import importlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from molgraph.training.task import Shared


@dataclass(frozen=True)
class World:
    """The processes of one training and the place of this one among them."""

    rank: int = 0
    """Number of this process; 0 leads."""
    size: int = 1
    """Number of processes."""
    local_rank: int = 0
    """Number of this process on its machine, which is also that of its GPU."""

    @classmethod
    def join(cls) -> "World":
        """Join the processes that ``torchrun`` has started; a process that was started alone stays alone."""
        world = cls(*(int(os.environ.get(name, fallback)) for name, fallback in _VARIABLES.items()))
        if world.size > 1 and not distributed.is_initialized():
            # Its functions keep the group of the moment of their import as a default, and the threads of a kept group
            # outlive the interpreter: one that frees a tensor then aborts the process.
            importlib.import_module("torch.distributed.nn")
            backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
            distributed.init_process_group(backend, timeout=timedelta(hours=12))  # the others wait for the report
        return world

    @property
    def leads(self) -> bool:
        """Whether this process validates and writes."""
        return self.rank == 0

    def device(self, device: torch.device) -> torch.device:
        """Return this process's own GPU where ``device`` is any GPU."""
        if self.size == 1 or device.type != "cuda" or device.index is not None:
            return device
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def agree(self, value: Any) -> Any:
        """Return the leader's ``value`` to all."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]

    def begin(self, module: nn.Module) -> None:
        """Give all processes the leader's weights, and each its own random numbers for dropout."""
        if self.size == 1:
            return
        with torch.no_grad():
            for tensor in [*module.parameters(), *module.buffers()]:
                distributed.broadcast(tensor, src=0)
        if not self.leads:
            torch.manual_seed(torch.initial_seed() + self.rank)

    def share(self, weight: Tensor) -> Tensor | float:
        """Return this process's part of the sum of all ``weight``."""
        if self.size == 1:
            return 1.0
        total = weight.detach().clone()
        distributed.all_reduce(total)
        return weight / total.clamp(min=1)

    def add_up(self, parameters: Iterable[nn.Parameter], loss: Tensor) -> Tensor:
        """Add up the gradients of all processes, in place, and return the sum of their losses."""
        if self.size == 1:
            return loss
        given = [parameter for parameter in parameters if parameter.requires_grad]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in given]
        flat = torch.cat([*(part.reshape(-1).float() for part in parts), loss.reshape(1).float()])
        distributed.all_reduce(flat)
        pieces = flat.split([part.numel() for part in parts] + [1])
        for parameter, piece in zip(given, pieces, strict=False):
            parameter.grad = piece.view_as(parameter).to(parameter.dtype)
        return pieces[-1][0]

    @staticmethod
    def leave() -> None:
        """Part from the others."""
        if distributed.is_initialized():
            distributed.destroy_process_group()


_VARIABLES = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}


def one_folder(overrides: Sequence[str]) -> list[str]:
    """Return Hydra's overrides with one run folder for all processes: each would otherwise take its own time."""
    folder = World.join().agree(f"runs/{datetime.now():%Y-%m-%d_%H-%M-%S.%f}")
    given = {override.partition("=")[0] for override in overrides}
    return [*overrides, *(f"{key}={folder}" for key in ("hydra.run.dir", "hydra.sweep.dir") if key not in given)]


def shard(batches: Any, world: World) -> Any:
    """Return this process's share of the batches.

    Raises:
        ValueError: batches that cannot be shared out.
    """
    if world.size == 1:
        return batches
    if not isinstance(batches, Shared):
        raise ValueError(
            f"{type(batches).__name__} cannot be shared out among {world.size} processes; start one without torchrun"
        )
    return batches.shard(world.rank, world.size)
