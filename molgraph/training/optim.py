"""Parameters to an optimizer and a learning rate for each step: AdamW, linear warm-up, cosine decay."""

import math

import torch
from torch import nn

from molgraph.training.config import OptimizerConfig


def build_optimizer(module: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """Return fused AdamW (Loshchilov & Hutter, ICLR 2019) with weight decay on matrices alone."""
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


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
