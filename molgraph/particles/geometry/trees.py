"""A tree of positions in any box: ``positions -> inside the period -> k-d tree``; only here is wrapped for scipy."""

from typing import Any

import numpy as np
import torch
from scipy.spatial import cKDTree

from molgraph.particles.geometry.space import Box


def position_tree(positions: np.ndarray, box: Box, **options: Any) -> cKDTree:
    """Return the k-d tree of positions ``[N, D]``; on periodic axes distances are those of the minimum image.

    Args:
        positions: anywhere; a point a rounding error below the lower bound is the point at it.
        box: where they live.
        options: of scipy's tree.
    """
    if not any(box.periodic):
        return cKDTree(positions, **options)
    inside = box.wrap(torch.from_numpy(np.asarray(positions, dtype=np.float64))).numpy()
    period = np.array([length if wraps else 0.0 for length, wraps in zip(box.lengths, box.periodic, strict=True)])
    low = np.array([bound if wraps else 0.0 for bound, wraps in zip(box.lower, box.periodic, strict=True)])
    shifted = inside - low
    # subtracting the bound rounds: what lands on the period itself is the point 0
    return cKDTree(np.where((period > 0) & (shifted >= period), 0.0, shifted), boxsize=period, **options)
