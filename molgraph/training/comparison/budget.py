"""What each model of a comparison may use, and the width that brings a model to that size."""

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What each candidate may use.

    Attributes:
        parameters: trained numbers of a model that has a width.
        tolerance: how far a model may be from that, as a fraction.
        trials: settings that are tried; the first are the model's own.
        seeds: runs with the best settings.
        sampler: ``random``, or ``tpe`` (Optuna).
    """

    parameters: int
    tolerance: float = 0.1
    trials: int = 4
    seeds: tuple[int, ...] = (0, 1, 2)
    sampler: str = "random"


def match(count: Callable[[int], int], wanted: int, tolerance: float, step: int = 8) -> int:
    """Return the width whose number of parameters is the closest to ``wanted``.

    Args:
        count: width to number of parameters, growing.
        wanted: number of parameters.
        tolerance: how far off it may be, as a fraction.
        step: widths are multiples of it, so that attention heads divide them.

    Raises:
        ValueError: no width comes close enough.

    >>> match(lambda width: width * width, 10_000, tolerance=0.1)
    104
    """
    low, high = 1, 2
    while count(step * high) < wanted:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(step * middle) < wanted else (low, middle)
    width = min((step * low, step * high), key=lambda width: abs(math.log(count(width) / wanted)))
    if abs(count(width) / wanted - 1) > tolerance:
        raise ValueError(f"no width gives {wanted:,} parameters: {width} gives {count(width):,}; change task.budget")
    return width
