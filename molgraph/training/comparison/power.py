"""How many seeds find a difference: ``spread between seeds, size of the difference -> seeds for 80 % power``."""

import math
from collections.abc import Sequence

from molgraph.training.comparison.difference import LEVEL
from molgraph.training.comparison.runs import Row

POWER = 0.8
"""How often a difference that is there should be found."""
MOST = 1000
"""Seeds beyond which nobody trains."""


def power_of(gap: float, spreads: tuple[float, float], molecules: float, seeds: int, comparisons: int = 1) -> float:
    """Return how often a difference is found by :func:`~molgraph.training.comparison.difference.difference`.

    Args:
        gap: the true difference.
        spreads: standard deviation between seeds of both models.
        molecules: standard deviation of the difference over test molecules.
        seeds: of each model.
        comparisons: models that are compared with the reference (Bonferroni, which Holm's correction never exceeds).
    """
    from scipy.stats import nct, t

    parts = [spread**2 / seeds for spread in spreads]
    variance = molecules**2 + sum(parts)
    if variance == 0:
        return 1.0
    below = sum(part**2 / (seeds - 1) for part in parts)
    freedom = min(variance**2 / below if below > 0 else math.inf, 1e6)
    limit = float(t.ppf(1 - LEVEL / comparisons / 2, freedom))
    shift = abs(gap) / math.sqrt(variance)
    if shift > limit + 8:  # SciPy's series does not converge so far out
        return 1.0
    return float(nct.sf(limit, freedom, shift) + nct.cdf(-limit, freedom, shift))


def seeds_needed(gap: float, spreads: tuple[float, float], molecules: float, comparisons: int = 1) -> int | None:
    """Return the fewest seeds of each model that find ``gap`` with :data:`POWER`; None for a test part too small.

    Arguments as :func:`power_of`.

    >>> seeds_needed(1.0, (1.0, 1.0), 0.0)
    17
    """
    found = (seeds for seeds in range(2, MOST + 1) if power_of(gap, spreads, molecules, seeds, comparisons) >= POWER)
    # More seeds do not help against the choice of molecules: what a thousand do not find, none do.
    return next(found, None) if power_of(gap, spreads, molecules, MOST, comparisons) >= POWER else None


def propose(monitor: str, rows: Sequence[Row], gap: float) -> list[str]:
    """Return a sentence for each model: how many seeds tell it from the reference at a true difference of ``gap``.

    Raises:
        ValueError: ``gap`` is not positive.
    """
    if not gap > 0:
        raise ValueError(f"--detect is {gap:g}; give the difference in {monitor.upper()} that matters to you, above 0")
    reference, others = next(row for row in rows if row.is_reference), [row for row in rows if not row.is_reference]
    said = []
    for row in others:
        spreads = (row.metrics[monitor][1], reference.metrics[monitor][1])
        if any(math.isnan(spread) for spread in spreads):
            said.append(f"{row.label}: train at least 2 seeds of it and of {reference.label}; the noise is unknown")
            continue
        seeds = seeds_needed(gap, spreads, row.difference.molecules, len(others))
        what = f"{row.label}: a difference of {gap:g} in {monitor.upper()} from {reference.label}"
        if seeds is None:
            said.append(f"{what} is found by no number of seeds; the test part is too small")
        else:
            said.append(f"{what} is found in {POWER:.0%} of cases with {seeds} seeds of each")
    return said
