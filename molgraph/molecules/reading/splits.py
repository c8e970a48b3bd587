"""Molecules to training, validation and test: ``canonical SMILES -> random | scaffold | kfold | column -> Split``.

Two rows with one molecule always lie in one part, but for the column split, where the table itself decides.
"""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem.Scaffolds import MurckoScaffold

PARTS = ("train", "val", "test")
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Which molecules are learned from, which choose the model, and which judge it."""

    train: Indices
    """Indices of the training part, ascending."""
    val: Indices
    """Indices of the validation part."""
    test: Indices
    """Indices of the test part."""

    def __post_init__(self) -> None:
        """Refuse a part without any molecule."""
        for part in PARTS:
            if len(getattr(self, part)) == 0:
                raise ValueError(f"the {part} part of the split is empty; give more molecules or other fractions")

    def to_csv(self, smiles: Sequence[str]) -> str:
        """Return the split as text: one line ``smiles,part`` for each molecule, in the order of the table."""
        part = {int(index): name for name in PARTS for index in getattr(self, name)}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["smiles", "part"])
        writer.writerows([smiles[index], part[index]] for index in sorted(part))
        return text.getvalue()

    def save(self, path: Path, smiles: Sequence[str]) -> str:
        """Write the split to ``path`` and return the SHA-256 of the file."""
        text = self.to_csv(smiles)
        path.write_text(text)
        return hashlib.sha256(text.encode()).hexdigest()


def _from_parts(parts: Sequence[Sequence[int]]) -> Split:
    return Split(*(np.array(sorted(part), dtype=np.int64) for part in parts))


def _groups(keys: Sequence[str]) -> list[list[int]]:
    """Return the indices that share a key, in order of first appearance."""
    groups: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def random_split(canonical: Sequence[str], fractions: Sequence[float], seed: int) -> Split:
    """Split at random; the rows of one molecule stay together.

    Args:
        canonical: canonical SMILES of each row.
        fractions: shares of train, val and test; they add up to 1.
        seed: repeats the split.
    """
    train, val, _ = _check_fractions(fractions)
    groups = _groups(canonical)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    done = 0
    for position in np.random.default_rng(seed).permutation(len(groups)):
        share = done / len(canonical)
        parts[0 if share < train else 1 if share < train + val else 2].extend(groups[position])
        done += len(groups[position])
    return _from_parts(parts)


def scaffold(canonical: str) -> str:
    """Return the Bemis-Murcko scaffold as SMILES without stereo marks, empty for a molecule without rings.

    >>> scaffold("CCc1ccccc1")
    'c1ccccc1'
    """
    return MurckoScaffold.MurckoScaffoldSmiles(mol=Chem.MolFromSmiles(canonical), includeChirality=False)


def scaffold_split(canonical: Sequence[str], fractions: Sequence[float]) -> Split:
    """Split by Bemis-Murcko scaffold in DeepChem's deterministic order: large groups train, rare scaffolds test.

    Args:
        canonical: canonical SMILES of each row.
        fractions: shares of train, val and test.
    """
    train_share, val_share, _ = _check_fractions(fractions)
    groups = _groups([scaffold(text) for text in canonical])
    groups.sort(key=lambda group: (len(group), group[0]), reverse=True)
    train_size = train_share * len(canonical)
    val_size = (train_share + val_share) * len(canonical)
    train: list[int] = []
    val: list[int] = []
    test: list[int] = []
    for group in groups:
        if len(train) + len(group) <= train_size:
            train += group
        elif len(train) + len(val) + len(group) <= val_size:
            val += group
        else:
            test += group
    return _from_parts((train, val, test))


def kfold_split(canonical: Sequence[str], folds: int, fold: int, seed: int) -> Split:
    """Test on one of ``folds`` equal parts, validate on the next, train on the rest; a molecule's rows stay together.

    Raises:
        ValueError: fewer than three folds, or no such fold.
    """
    if folds < 3 or not 0 <= fold < folds:
        raise ValueError(f"data.folds={folds} data.fold={fold}: use at least 3 folds and a fold from 0 to folds - 1")
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    groups = _groups(canonical)
    for place, position in enumerate(np.random.default_rng(seed).permutation(len(groups))):
        part = {fold: 2, (fold + 1) % folds: 1}.get(place % folds, 0)
        parts[part].extend(groups[position])
    return _from_parts(parts)


def folds_of(canonical: Sequence[str], folds: int, seed: int) -> Indices:
    """Return the number of the fold of each row, ``0`` to ``folds - 1``; a molecule's rows stay together."""
    numbers = np.zeros(len(canonical), dtype=np.int64)
    groups = _groups(canonical)
    for place, position in enumerate(np.random.default_rng(seed).permutation(len(groups))):
        numbers[groups[position]] = place % folds
    return numbers


def column_split(values: Sequence[str]) -> Split:
    """Split as a column of the table says.

    Args:
        values: ``train``, ``val`` (or ``valid``, ``validation``) or ``test`` for each row.

    Raises:
        ValueError: another value.
    """
    names = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for index, value in enumerate(values):
        if value.strip().lower() not in names:
            raise ValueError(f"the split column says {value!r}; use train, val or test in each row")
        parts[names[value.strip().lower()]].append(index)
    return _from_parts(parts)


def file_split(path: Path, smiles: Sequence[str]) -> Split:
    """Read a split that another run saved; rows are matched by their SMILES.

    Raises:
        ValueError: the file is not there, or a molecule is not in it.
    """
    if not path.is_file():
        raise ValueError(f"data.split_file={path} does not exist; give the split.csv of another run")
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if not {"smiles", "part"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path} is no split: it needs the columns smiles and part; give the split.csv of a run")
        part: dict[str, list[str]] = {}
        for row in reader:
            part.setdefault(row["smiles"], []).append(row["part"])
    missing = [text for text in smiles if text not in part]
    if missing:
        raise ValueError(f"{path} does not know {len(missing)} of the molecules, the first is {missing[0]!r}")
    # A column split may put the rows of one molecule into several parts: they are taken in their order.
    return column_split([part[text].pop(0) if len(part[text]) > 1 else part[text][0] for text in smiles])


def straddling(split: Split, canonical: Sequence[str]) -> int:
    """Return how many molecules have rows in more than one part."""
    seen: dict[str, set[str]] = {}
    for part in PARTS:
        for index in getattr(split, part):
            seen.setdefault(canonical[index], set()).add(part)
    return sum(len(parts) > 1 for parts in seen.values())


def _check_fractions(fractions: Sequence[float]) -> Sequence[float]:
    if len(fractions) != 3 or abs(sum(fractions) - 1) > 1e-6 or min(fractions) < 0:
        raise ValueError(f"data.fractions={list(fractions)}: give three shares, train, val and test, that add up to 1")
    return fractions
