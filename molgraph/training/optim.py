"""Parameters to an optimizer and a learning rate for each step: AdamW or Muon, linear warm-up, cosine decay."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from molgraph.training.config import OptimizerConfig
from molgraph.training.muon import Muon


def build_optimizer(module: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Return the optimizer that the configuration names; weights decay on matrices alone.

    ``adamw`` is fused AdamW (Loshchilov & Hutter, ICLR 2019). ``muon`` is Muon (Jordan et al. 2024) for the matrices of
    linear layers with at least ``SQUARE`` rows and columns, and AdamW for all else, at the same learning rate.
    """
    if config.name == "adamw":
        return _adamw(module.parameters(), config)
    layers = [m.weight for m in module.modules() if isinstance(m, nn.Linear) and min(m.weight.shape) >= SQUARE]
    matrices = [weight for weight in layers if weight.requires_grad]
    chosen = set(map(id, matrices))
    rest = _adamw([p for p in module.parameters() if id(p) not in chosen], config)
    if not matrices:
        return rest
    return Together(rest, Muon(matrices, config.learning_rate, config.weight_decay))


SQUARE = 16
"""Rows and columns from which on a matrix has directions to balance; below, it reads or writes a few numbers."""


def _adamw(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> torch.optim.AdamW:
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.learning_rate, fused=True)


class Together(torch.optim.Optimizer):
    """Several optimizers, each with parameters of its own, that step as one.

    Args:
        parts: the optimizers.
    """

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        # the same dictionaries as in the parts: a learning rate that is set here is set there
        super().__init__([group for part in parts for group in part.param_groups], {})

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Step with each part."""
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each part."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore each part."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def learning_rate(step: int, steps: int, config: OptimizerConfig) -> float:
    """Return the learning rate of optimizer step ``step`` of ``steps``: linear warm-up, then a half cosine.

    >>> config = OptimizerConfig(learning_rate=1.0, final_learning_rate=0.1, warmup=0.1)
    >>> [round(learning_rate(step, 100, config), 3) for step in (0, 9, 55, 99)]
    [0.1, 1.0, 0.542, 0.1]
    """
    warmup = max(1, round(config.warmup * steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
    floor = config.final_learning_rate
    return config.learning_rate * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))
