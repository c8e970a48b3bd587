"""Parameters to an optimizer and a learning rate for each step: AdamW or Muon, linear warm-up, cosine decay."""

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from molgraph.training.config import OptimizerConfig


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


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalized by Newton-Schulz iterations, for the matrices of hidden layers (Jordan et al. 2024).

    The same steps as ``torch.optim.Muon`` with ``adjust_lr_fn="match_rms_adamw"``: updates have the size of AdamW's
    (Liu et al. 2025, arXiv:2502.16982). That one orthogonalizes matrix after matrix in bfloat16, which on a CPU without
    such arithmetic takes longer than the passes of a small network; here those of one shape go together, in float32.

    Args:
        matrices: parameters ``[A, B]``.
        lr: learning rate.
        weight_decay: decoupled weight decay.
        momentum: share of the past in the (Nesterov) momentum.
    """

    def __init__(
        self, matrices: Iterable[Tensor], lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move each matrix that has a gradient."""
        for group in self.param_groups:
            learned = [(matrix, matrix.grad) for matrix in group["params"] if matrix.grad is not None]
            for _, alike in itertools.groupby(sorted(learned, key=_shape), key=_shape):
                matrices, gradients = zip(*alike, strict=True)
                self._step(matrices, gradients, group)

    def _step(self, matrices: tuple[Tensor, ...], gradients: tuple[Tensor, ...], group: dict[str, Any]) -> None:
        """Move matrices of one shape."""
        past = [self._past(matrix) for matrix in matrices]
        torch._foreach_lerp_(past, gradients, 1 - group["momentum"])
        updates = orthogonalized(torch.stack(torch._foreach_lerp(gradients, past, group["momentum"])))
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        size = 0.2 * max(updates.shape[1:]) ** 0.5
        torch._foreach_add_(matrices, list(updates.to(matrices[0].dtype)), alpha=-group["lr"] * size)

    def _past(self, matrix: Tensor) -> Tensor:
        state = self.state[matrix]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(matrix)
        return state["momentum_buffer"]


def _shape(learned: tuple[Tensor, Tensor]) -> tuple[int, ...]:
    return tuple(learned[0].shape)


QUINTIC = 3.4445, -4.7750, 2.0315
"""Coefficients of ``a X + b (X Xᵀ) X + c (X Xᵀ)² X``: steep at 0, and between 0.7 and 1.2 at the end (Jordan 2024)."""
ITERATIONS = 5


def orthogonalized(matrices: Tensor) -> Tensor:
    """``U Vᵀ`` of each ``U S Vᵀ`` in ``[K, A, B]``, about: singular values become about 1, the smallest of them less.

    In bfloat16 on a GPU, in float32 on a CPU, which may have to emulate the other.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.to(torch.bfloat16 if matrices.is_cuda else torch.float32)
    x = x.mT if tall else x
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Swapped:
    """Within the context, the parameters hold their moving average."""

    def __init__(self, parameters: list[torch.nn.Parameter], average: list[Tensor]) -> None:
        self.parameters, self.average = parameters, average

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *_: object) -> None:
        self._swap()

    def _swap(self) -> None:
        with torch.no_grad():
            for parameter, average in zip(self.parameters, self.average, strict=False):
                parameter.data, average.data = average.data, parameter.data
