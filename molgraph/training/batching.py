"""Rows of similar size side by side, so that what is padded together pads little: ``sizes -> groups -> batches``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def groups_of_similar_size(rows: Rows, sizes: NDArray[Any], group: int, pool: int) -> list[Rows]:
    """Cut shuffled rows into groups of similar size, a pool at a time so that a group remains a random one.

    Args:
        rows: row numbers, already in a random order ``[R]``.
        sizes: cost of each row of the table, by which they are sorted.
        group: rows of a group; the last one may have fewer.
        pool: rows among which a group is chosen, a multiple of ``group``.

    Returns:
        Row numbers of each group.

    >>> [list(map(int, rows)) for rows in groups_of_similar_size(np.arange(4), np.array([9, 1, 8, 2]), 2, 4)]
    [[1, 3], [2, 0]]
    """
    pools = (rows[start : start + pool] for start in range(0, len(rows), pool))
    ordered = [chosen[np.argsort(sizes[chosen], kind="stable")] for chosen in pools]
    return [pool[start : start + group] for pool in ordered for start in range(0, len(pool), group)]
