"""The two passes of a step: ``batch -> loss -> gradients``, run eagerly, compiled, or captured as a CUDA graph."""

import os
import sys
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from molgraph.training.config import TrainerConfig
from molgraph.training.hardware.distributed import World
from molgraph.training.hardware.precision import autocast, choose_device
from molgraph.training.task import Task

WARM_UP = 3
"""Passes before a capture, in which libraries allocate what they keep."""


class Passes:
    """Forward and backward pass as they are written.

    Args:
        task: model and loss.
        config: precision.
        device: where the batches lie.
        world: the processes that share each batch.
    """

    def __init__(self, task: Task, config: TrainerConfig, device: torch.device, world: World) -> None:
        self.task, self.precision, self.device, self.world = task, config.precision, device, world
        self.loss = task.loss

    def __call__(self, batch: Any) -> Tensor:
        """Leave the gradients of ``batch`` in the parameters; return its loss."""
        for parameter in self.task.parameters():
            parameter.grad = None
        with autocast(self.precision, self.device):
            loss = self.loss(batch)
        if self.world.size > 1:
            loss = loss * self.world.share(self.task.terms(batch).to(self.device))
        loss.backward()
        return self.world.add_up(self.task.parameters(), loss.detach())


class CompiledPasses(Passes):
    """The same through ``torch.compile``, once for batches of all sizes; the first step takes half a minute."""

    def __init__(self, task: Task, config: TrainerConfig, device: torch.device, world: World) -> None:
        super().__init__(task, config, device, world)
        keep_distutils()
        self.loss = torch.compile(task.loss, dynamic=True)


def keep_distutils() -> None:
    """Let PyTorch's compiler import setuptools, whatever was imported before.

    Where Python still has a ``distutils`` of its own, setuptools puts another in its place and stops with an
    ``AssertionError`` if that fails, as it may in a program that has imported much already.
    """
    if sys.version_info < (3, 12) and "setuptools" not in sys.modules:
        os.environ.setdefault("SETUPTOOLS_USE_DISTUTILS", "stdlib")


class CapturedPasses(Passes):
    """All kernels of both passes as one CUDA graph for each of a few shapes, to which batches are padded.

    Raises:
        ValueError: no GPU, several processes, or a model that would count the padding.
    """

    def __init__(self, task: Task, config: TrainerConfig, device: torch.device, world: World) -> None:
        super().__init__(task, config, device, world)
        check_step(replace(config, device=device.type), world)
        if any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in task.modules()):
            raise ValueError(
                "trainer.step=captured pads batches, and batch normalization would count the padding; "
                "use model.encoder.normalization=layer or trainer.step=eager"
            )
        self.graphs: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, Any, Tensor]] = {}

    def __call__(self, batch: Any) -> Tensor:
        """Copy the padded batch to where the graph reads it, and replay the graph."""
        batch = batch.padded()
        shape = tuple(tensor.shape for tensor in tensors_of(batch))
        if shape not in self.graphs:
            self.graphs[shape] = self._capture(batch)
        graph, static, loss = self.graphs[shape]
        for target, source in zip(tensors_of(static), tensors_of(batch), strict=True):
            target.copy_(source)
        graph.replay()
        return loss.clone()

    def _capture(self, batch: Any) -> tuple[torch.cuda.CUDAGraph, Any, Tensor]:
        static = copied(batch)
        stream = torch.cuda.Stream(self.device)
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            for parameter in self.task.parameters():
                # All graphs write their gradients to one place, from which the optimizer reads them.
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for _ in range(WARM_UP):
                self._run(static)
        torch.cuda.current_stream(self.device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            loss = self._run(static)
        return graph, static, loss

    def _run(self, batch: Any) -> Tensor:
        for parameter in self.task.parameters():
            if parameter.grad is not None:
                parameter.grad.zero_()
        enabled = self.precision == "bf16"
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=enabled, cache_enabled=False):
            loss = self.task.loss(batch)
        loss.backward()
        return loss.detach()


def check_step(config: TrainerConfig, world: World) -> None:
    """Refuse a step that this machine cannot take, before data are read.

    Raises:
        ValueError: ``captured`` without a GPU, or under torchrun.
    """
    if config.step != "captured":
        return
    if choose_device(config.device).type != "cuda":
        raise ValueError("trainer.step=captured needs a GPU; use trainer.step=eager or compiled")
    if world.size > 1:
        raise ValueError("trainer.step=captured runs in one process; use trainer.step=eager under torchrun")


def check_batch(config: TrainerConfig, batch: Any) -> None:
    """Refuse batches that cannot be captured, before the first step.

    Raises:
        ValueError: ``captured``, and batches that have no padded form: sequences, atoms, descriptors, particles.
    """
    if config.step == "captured" and not (hasattr(batch, "padded") and hasattr(getattr(batch, "inputs", 0), "padded")):
        raise ValueError(
            "trainer.step=captured replays kernels of a few fixed shapes, and only graphs of molecules are padded to "
            "such; use trainer.step=eager or compiled for this model"
        )


PASSES: dict[str, type[Passes]] = {"eager": Passes, "compiled": CompiledPasses, "captured": CapturedPasses}


def build_passes(task: Task, config: TrainerConfig, device: torch.device, world: World) -> Passes:
    """Return the passes that ``trainer.step`` names."""
    return PASSES[config.step](task, config, device, world)


def tensors_of(value: Any) -> list[Tensor]:
    """Return the tensors of a batch, a dataclass of tensors and of other dataclasses, in the order of its fields."""
    if isinstance(value, Tensor):
        return [value]
    if not is_dataclass(value):
        return []
    return [tensor for field in fields(value) for tensor in tensors_of(getattr(value, field.name))]


def copied(value: Any) -> Any:
    """Return a batch with tensors of its own."""
    if isinstance(value, Tensor):
        return value.clone()
    if not is_dataclass(value) or isinstance(value, type):
        return value
    return replace(value, **{field.name: copied(getattr(value, field.name)) for field in fields(value)})
