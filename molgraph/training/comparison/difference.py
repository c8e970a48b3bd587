"""Is one model better than another: ``metrics of runs, metrics of resampled molecules -> difference, interval, p``.

Two things make a difference uncertain: which molecules were tested, and the noise of training. The first is the spread
of the paired bootstrap over molecules, the second the spread between seeds. Their variances add up; Student's t with
the degrees of freedom of Welch and Satterthwaite says how far few seeds can be trusted.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LEVEL = 0.05
"""How often two equal models may be called different."""


@dataclass(frozen=True)
class Difference:
    """The main metric of a model minus that of the reference."""

    value: float
    """Mean over seeds, on all molecules."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end."""
    p: float
    """Probability of a difference this large between equal models; corrected for their number by :func:`holm`."""
    noise_known: bool
    """Whether both have several runs, so that the noise of training is in the interval."""
    molecules: float = 0.0
    """Standard deviation over the choice of test molecules alone."""

    @property
    def differs(self) -> bool:
        """Whether the models differ; never where the noise of training is unknown."""
        return self.noise_known and self.p < LEVEL


def difference(ours: Sequence[float], theirs: Sequence[float], resampled: Floats) -> Difference:
    """Return how a model differs from the reference.

    Args:
        ours: metric of each run of the model, on all molecules.
        theirs: the same of the reference.
        resampled: difference of the means over runs on each bootstrap draw of the molecules.
    """
    from scipy.stats import t

    value = float(np.mean(ours) - np.mean(theirs))
    parts = [(np.var(values, ddof=1) / len(values), len(values) - 1) for values in (ours, theirs) if len(values) > 1]
    noise = sum(part for part, _ in parts)
    variance = float(np.nanvar(resampled)) + noise
    below = sum(part**2 / freedom for part, freedom in parts)
    freedom = variance**2 / below if below > 0 else math.inf
    error = math.sqrt(variance)
    half = float(t.ppf(1 - LEVEL / 2, freedom)) * error
    p = 2 * float(t.sf(abs(value) / error, freedom)) if error > 0 else float(value == 0)
    return Difference(value, value - half, value + half, p, len(parts) == 2, float(np.nanstd(resampled)))


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences with p corrected for their number (Holm, Scand. J. Statist. 6, 65, 1979)."""
    order = sorted(range(len(differences)), key=lambda place: differences[place].p)
    corrected, largest = list(differences), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * differences[place].p))
        corrected[place] = replace(differences[place], p=largest)
    return corrected
