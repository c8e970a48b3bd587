"""Muon: matrices learn with orthogonalized momentum: ``gradient -> momentum -> all directions alike -> step``."""

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


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
