"""What stays together when texts are split: the writings of a molecule, the reactions to a product.

rows -> Grouping.keys -> same key, same part
"""

import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from molgraph.molecules.reading import InvalidSmiles, canonical_mixture, canonicalize_all
from molgraph.sequences.text.intake import in_chunks

PARTS = ("train", "val", "test")
SPELLED = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
ONE_COLUMN = {"molecule": 0, "product": 0, "source": 0, "target": 0}
"""Columns of the choices of ``data.group`` where a row is one text: the same one."""


@dataclass(frozen=True)
class Grouping:
    """Which rows are one."""

    name: str
    """What they share, for messages."""
    column: int | None
    """Where it stands; None where each row is by itself."""

    @classmethod
    def named(cls, name: str, columns: Mapping[str, int] = ONE_COLUMN) -> "Grouping":
        """Return the grouping of ``data.group``.

        Args:
            name: ``auto``, ``none`` or a key of the columns.
            columns: the choices that the rows leave, and the column of each; ``auto`` takes the first.

        Raises:
            ValueError: there is no such choice for these rows.
        """
        if name == "none":
            return cls("row", None)
        if name != "auto" and name not in columns:
            raise ValueError(f"data.group={name} is none of these rows; choose auto, {', '.join(columns)} or none")
        chosen = next(iter(columns)) if name == "auto" else name
        return cls(chosen, columns[chosen])

    def keys(self, rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
        """Yield what tells each row's group: a canonical form without atom maps, or the text if it is no SMILES."""
        if self.column is None:
            yield from (str(number) for number, _ in enumerate(rows))
            return
        for chunk in in_chunks(rows):
            yield from _forms([_product(row[self.column]) for row in chunk])


def _product(text: str) -> str:
    """Return the product of a reaction SMILES; any other text as it is."""
    return text.rsplit(">", 1)[-1] if text.count(">") == 2 else text


def _forms(texts: list[str]) -> list[str]:
    canonical = canonicalize_all(texts, workers=None)
    return [_mixed(form) if form else text for text, (form, _) in zip(texts, canonical, strict=True)]


def _mixed(form: str) -> str:
    """Return the form of a mixture, or of a molecule with atom maps, which canonical order alone does not give."""
    if "." not in form and ":" not in form:
        return form
    try:
        return canonical_mixture(form)
    except InvalidSmiles:
        return form


def part_of(key: str, val: float, test: float, seed: int, published: bool = False) -> str:
    """Return the part of a key, by its hash alone.

    Args:
        key: of a group, or the number of a row.
        val: share that validates.
        test: share that is held out.
        seed: another seed is another split.
        published: of a published corpus, whose splits stay as they have always been; the CRC is no fair die for
            similar keys (of rows 0 and 200 it is often the same part), and takes no part in other splits.
    """
    text = f"{seed} {key}".encode()
    number = zlib.crc32(text) if published else int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big")
    place = number / 2**32
    return "val" if place < val else "test" if place < val + test else "train"


def part_named(text: str, row: int) -> str:
    """Return the part that a split column says.

    Raises:
        ValueError: it says another word.
    """
    if text.strip().lower() not in SPELLED:
        raise ValueError(f"row {row}: the split column says {text!r}; use train, val or test in each row")
    return SPELLED[text.strip().lower()]
