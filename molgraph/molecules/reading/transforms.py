"""Scales on which a target is learned: ``IC50 [nM] -> p -> pIC50``, ``log10`` of any positive value, and back."""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

KINDS = ("none", "log10", "p")
MOLAR = {"m": 0, "mm": 3, "um": 6, "µm": 6, "μm": 6, "nm": 9, "pm": 12, "fm": 15}
"""Negative power of ten of each unit of concentration, in lower case (``mM``: 3)."""
_SUFFIX = re.compile(
    r"[\s_]*[\[(]?\s*(?:log10\s*)?((?:[munpf]|µ|μ)?(?:M|mol/l|mol/L|mol\s*L-1))\s*[\])]?$", re.IGNORECASE
)


@dataclass(frozen=True)
class Transform:
    """A change of scale of one target, and the way back."""

    kind: str
    """``log10`` or ``p`` (negative logarithm of a concentration in mol/L)."""
    column: str
    """The column of the table, in its own unit."""
    power: int = 0
    """For ``p``: 9 for nM, 6 for µM, ..."""

    @property
    def name(self) -> str:
        """Return what the target is called on the new scale.

        >>> Transform("p", "IC50 [nM]", 9).name, Transform("log10", "half-life (h)").name
        ('pIC50', 'log10(half-life (h))')
        """
        return f"p{_SUFFIX.sub('', self.column)}" if self.kind == "p" else f"log10({self.column})"

    @property
    def flips(self) -> bool:
        """Return whether a larger value becomes a smaller one, so that ``>`` becomes ``<``."""
        return self.kind == "p"

    def forward(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return positive values on the new scale; NaN where there is none."""
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.where(values > 0, np.log10(values), np.nan)
        return self.power - logs if self.flips else logs

    def back(self, value: float) -> float:
        """Return a value of the new scale in the column's unit.

        >>> round(Transform("p", "IC50 [nM]", 9).back(7.0), 6)
        100.0
        """
        try:
            return 10.0 ** (self.power - value if self.flips else value)
        except OverflowError:
            return math.inf

    def state(self) -> dict[str, Any]:
        """Return plain values that rebuild it."""
        return {"kind": self.kind, "column": self.column, "power": self.power}


def make_transform(kind: str, column: str, unit: str | None = None) -> Transform | None:
    """Return the change of scale that ``data.transform`` asks for one column, or None.

    Args:
        kind: ``none``, ``log10`` or ``p``.
        column: name of the column, with its unit for ``p``, as in ``IC50 [nM]``.
        unit: unit of concentration, where the name does not tell.

    Raises:
        ValueError: an unknown kind, or ``p`` of a column whose unit is not known.
    """
    if kind not in KINDS:
        raise ValueError(f"data.transform={kind!r} is unknown; use none, log10 or p")
    if kind == "none":
        return None
    if kind == "log10":
        return Transform(kind, column)
    unit = unit or molar_unit(column)
    key = unit.replace(" ", "").lower().replace("moll-1", "m").replace("mol/l", "m")
    if key not in MOLAR:
        raise ValueError(
            f"data.transform=p needs the unit of {column!r}; say data.unit=nM (or M, mM, uM, pM), or use log10"
        )
    return Transform(kind, column, MOLAR[key])


def molar_unit(column: str) -> str:
    """Return the unit of concentration that a column's name ends in, or nothing.

    >>> molar_unit("IC50 [nM]"), molar_unit("Ki_uM"), molar_unit("EC50 (mol/L)"), molar_unit("Album")
    ('nM', 'uM', 'mol/L', '')
    """
    found = _SUFFIX.search(column)
    if not found or found.start() == 0:
        return ""
    apart = found.group(0)[0] in " _[(" or column[found.start() - 1] in "_[( "
    return found.group(1) if apart else ""
