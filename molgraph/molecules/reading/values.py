"""Cells as people write them, to numbers: ``column of texts -> read_numbers -> values, bounds, problems, notes``."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MISSING = frozenset(
    ("", "nan", "na", "n/a", "n.a.", "#n/a", "none", "null", "n.d.", "nd", "not determined", "missing", "-", "--", "?")
)
"""Cells, in lower case, that hold no measurement."""
DECIMALS = ("auto", "point", "comma")
UPPER, EXACT, LOWER = -1, 0, 1
"""What a value is: the truth lies below it (``<0.1``), is it, or lies above it (``>50``)."""

_PREFIX = {">": LOWER, ">=": LOWER, "≥": LOWER, ">>": LOWER, "<": UPPER, "<=": UPPER, "≤": UPPER, "<<": UPPER}
_PLAIN = r"[-+\u2212]?(?:\d+(?:[.,]\d+)*|[.,]\d+)(?:[eE][-+]?\d+)?"
_CELL = re.compile(rf"(>=|<=|>>|<<|[><≥≤~≈=]|ca\.?|about)?\s*({_PLAIN})\s*(?:(?:±|\+/-|\+-)\s*({_PLAIN}))?\s*(%)?")
_GROUPED = re.compile(r"[-+\u2212]?\d{1,3}(,\d{3})+")
_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DATE = re.compile(
    rf"\d{{1,4}}[-/.]\d{{1,2}}[-/.]\d{{1,4}}([ T]\d.*)?|\d{{1,2}}[- ]({_MONTHS})[a-z]*([- ]\d{{2,4}})?|"
    rf"({_MONTHS})[a-z]*[- ]\d{{2,4}}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Numbers:
    """A column that was read."""

    values: NDArray[np.float64]
    """One number a row ``[M]``; NaN where nothing was measured."""
    bounds: NDArray[np.int8]
    """:data:`UPPER`, :data:`EXACT` or :data:`LOWER` of each row ``[M]``."""
    problems: dict[int, str]
    """Why a row is no number."""
    notes: list[str]
    """What was understood and not said, as parts of a sentence."""


def read_numbers(cells: Sequence[str], decimal: str = "auto") -> Numbers:
    """Read a column of measurements.

    ``>50``, ``<0.1`` become bounds; ``~3`` and ``1.2 ± 0.3`` their number, with a note. A comma is a decimal mark or
    separates thousands, as the column as a whole tells.

    Args:
        cells: texts without blanks around them.
        decimal: ``auto``, ``point`` or ``comma``.

    >>> numbers = read_numbers(["1,5", ">50", "n.d.", "2020-03-01"])
    >>> numbers.values.tolist(), numbers.bounds.tolist(), numbers.problems
    ([1.5, 50.0, nan, nan], [0, 1, 0, 0], {3: "'2020-03-01', a date and not a number"})
    """
    values, bounds = np.full(len(cells), np.nan), np.zeros(len(cells), np.int8)
    problems: dict[int, str] = {}
    commas = _commas(cells, decimal)
    counts = {"approximate": 0, "spread": 0, "percent": 0}
    for row, cell in enumerate(cells):
        try:
            values[row] = _fast(cell)
            continue
        except ValueError:
            if cell.lower() in MISSING:
                continue
        found = _CELL.fullmatch(cell) if cell.isascii() or not re.search(r"(?![0-9])\d", cell) else None
        number = _number(found.group(2), commas) if found else None
        if found is None or number is None:
            problems[row] = _reason(cell)
            continue
        prefix, _, spread, percent = found.groups()
        values[row], bounds[row] = number, _PREFIX.get(prefix or "", EXACT)
        counts["approximate"] += bool(prefix) and prefix not in _PREFIX and prefix != "="
        counts["spread"] += bool(spread)
        counts["percent"] += bool(percent)
    return Numbers(values, bounds, problems, _notes(commas, counts, bounds))


def _fast(cell: str) -> float:
    """Return a number that Python reads, as almost all are; no 1_000, no inf, no digits of other scripts."""
    value = float(cell)
    if not math.isfinite(value) or not cell.isascii() or "_" in cell:
        raise ValueError
    return value


def _commas(cells: Sequence[str], decimal: str) -> str:
    """Return what a comma means in a column: ``decimal``, ``thousands``, or nothing where there is none."""
    numbers = [found.group(2) for cell in cells if "," in cell and (found := _CELL.fullmatch(cell))]
    if not numbers:
        return ""
    if decimal != "auto":
        return "decimal" if decimal == "comma" else "thousands"
    if any("." in number for number in numbers):
        # 1,234.5 or 1.234,5: the last mark is the decimal one
        return "thousands" if all(n.rfind(".") > n.rfind(",") for n in numbers if "." in n) else "decimal"
    if any(not _GROUPED.fullmatch(number) for number in numbers):
        return "decimal"
    points = any("." in cell for cell in cells)
    return "thousands" if points or any(number.count(",") > 1 for number in numbers) else "decimal"


def _number(text: str, commas: str) -> float | None:
    text = text.replace("\u2212", "-")
    if commas == "thousands":
        if "," in text and not re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?(e[-+]?\d+)?", text, re.IGNORECASE):
            return None
        text = text.replace(",", "")
    elif commas == "decimal" and "," in text:
        text = text.replace(".", "").replace(",", ".")
    try:
        return value if math.isfinite(value := float(text)) else None
    except ValueError:
        return None


def _reason(cell: str) -> str:
    if _DATE.fullmatch(cell):
        return f"{cell!r}, a date and not a number"
    try:
        if not math.isfinite(float(cell)):
            return f"{cell!r}, which is not a finite number"
    except ValueError:
        pass
    if re.fullmatch(rf"{_PLAIN}\s*(?:-|to|\.\.|…|\u2013)\s*{_PLAIN}", cell):
        return f"{cell!r}, a range and not a number; write its middle, or a bound such as >1"
    if re.fullmatch(rf"{_PLAIN}\s*[a-zA-Zµμ/°²³\[\]()]+", cell):
        return f"{cell!r}, a number with a unit; write the unit into the name of the column"
    return f"{cell!r}, which is not a number"


def _notes(commas: str, counts: dict[str, int], bounds: NDArray[np.int8]) -> list[str]:
    notes = []
    if commas == "decimal":
        notes.append("1,5 is read as 1.5 (data.decimal=point reads thousands)")
    elif commas == "thousands":
        notes.append("1,000 is read as 1000 (data.decimal=comma reads 1)")
    above, below = int((bounds == LOWER).sum()), int((bounds == UPPER).sum())
    if above or below:
        notes.append(f"{above + below:,} bounds ({above:,} with >, {below:,} with <) count only on the wrong side")
    if counts["approximate"]:
        notes.append(f"{counts['approximate']:,} approximate values (~) are taken as they are")
    if counts["spread"]:
        notes.append(f"of {counts['spread']:,} values with a spread (±) the value is taken")
    if counts["percent"]:
        notes.append(f"{counts['percent']:,} values are per cent")
    return notes


LABELS = (
    ("false", "true"),
    ("no", "yes"),
    ("n", "y"),
    ("f", "t"),
    ("inactive", "active"),
    ("negative", "positive"),
    ("neg", "pos"),
    ("-", "+"),
    ("fail", "pass"),
    ("failed", "passed"),
    ("low", "high"),
    ("insoluble", "soluble"),
    ("non-toxic", "toxic"),
    ("nontoxic", "toxic"),
)
"""Pairs of words that people write for 0 and 1, in any case."""


def labels_of(cells: Sequence[str]) -> tuple[str, str] | None:
    """Return the pair of :data:`LABELS` that all cells of a column are made of, or None.

    >>> labels_of(["Active", "inactive", "", "active"]), labels_of(["1", "0"]), labels_of(["+", "-"])
    (('inactive', 'active'), None, ('-', '+'))
    """
    seen = {cell.lower() for cell in cells} - MISSING
    return next((pair for pair in LABELS if seen and seen <= set(pair)), None)


def words_of(cells: Sequence[str], most: int = 20) -> list[str]:
    """Return the words of a column of a few labels, in the order of the alphabet, or nothing where it holds others.

    A label stands on several rows, and none is a number, a bound or a date.

    >>> words_of(["BBB+", "BBB-", "BBB+", "", "BBB-"]), words_of(["a1", "a2", "a3"])
    (['BBB+', 'BBB-'], [])
    """
    filled = [cell for cell in cells if cell.lower() not in MISSING]
    seen = sorted(set(filled))
    if not 2 <= len(seen) <= min(most, len(filled) // 2):
        return []
    return [] if any(_CELL.fullmatch(word) or _DATE.fullmatch(word) for word in seen) else seen


def is_measured(cells: Sequence[str], counts: bool = False) -> bool:
    """Return whether a column holds numbers or labels; numbers that just count the rows only if ``counts``."""
    filled = [cell for cell in cells if cell.lower() not in MISSING or cell == "-"]
    if not any(cell != "-" for cell in filled):
        return False
    if labels_of(filled) or words_of(filled):
        return True
    read = read_numbers(filled)
    if len(read.problems) > 0.2 * len(filled):
        return False
    values = read.values[~np.isnan(read.values)]
    counted = len(values) > 2 and not (values % 1).any() and (np.diff(values) == 1).all()
    return counts or not counted
