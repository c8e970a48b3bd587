"""Tables as they lie on people's disks, one for each quirk: ``python -m tests.molecules.quirks FOLDER`` writes them.

Each has what `molgraph train FILE` should make of it: rows used and left out, or what it says when it stops.
"""

import csv
import gzip
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rdkit import Chem

from molgraph.molecules.tables import open_writer

ALKANES = ["C" * n for n in range(1, 21)] + ["C" * n + "O" for n in range(1, 21)]
VALUES = [round(0.37 * n + 0.1, 2) for n in range(40)]


@dataclass(frozen=True)
class Quirk:
    """One file."""

    name: str
    """Of the file."""
    content: bytes | Callable[[Path], None]
    """What stands in it, or what writes it."""
    used: int = 0
    """Rows that are learned from."""
    left_out: int = 0
    """Rows that have a reason."""
    says: str = ""
    """What is said, or the message with which it stops if no row is used."""
    words: tuple[str, ...] = ()
    """Words that a user adds behind the file."""


def table(
    rows=None, header=("smiles", "y"), delimiter=",", encoding="utf-8", end="\n", quoting=csv.QUOTE_MINIMAL
) -> bytes:
    """Return delimited text of rows, by default forty molecules with values."""
    rows = list(zip(ALKANES, VALUES, strict=True)) if rows is None else rows
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows([header, *rows])
    return file.getvalue().encode(encoding)


def values(change) -> list[tuple[str, str]]:
    """Return the forty molecules, their values written otherwise: ``change(row number, value)``."""
    return [(s, change(n, v)) for n, (s, v) in enumerate(zip(ALKANES, VALUES, strict=True))]


def smiles(change) -> list[tuple[str, float]]:
    """Return the forty molecules written otherwise: ``change(row number, SMILES)``."""
    return [(change(n, s), v) for n, (s, v) in enumerate(zip(ALKANES, VALUES, strict=True))]


def comma(_, value):
    """Write a number as most of Europe does."""
    return str(value).replace(".", ",")


def every(nth, text):
    """Put a text in place of every nth value."""
    return lambda n, v: text if n % nth == 1 else v


def stored(path: Path) -> None:
    """Write the forty molecules in the format of the name."""
    with open_writer(path, ["smiles", "y"], types={"y": "double"}) as writer:
        for text, value in zip(ALKANES, VALUES, strict=True):
            writer.write([text, str(value)])


def sdf() -> bytes:
    """Return an SDF with the values as a property."""
    text = ""
    for number, (smile, value) in enumerate(zip(ALKANES, VALUES, strict=True)):
        text += Chem.MolToMolBlock(Chem.MolFromSmiles(smile)) + f">  <y>  ({number})\n{value}\n\n$$$$\n"
    return text.encode()


def inchis() -> list[tuple[str, float]]:
    """Return the molecules as InChI."""
    return smiles(lambda _, s: Chem.MolToInchi(Chem.MolFromSmiles(s)))


WHOLE = table()
QUIRKS = [
    # the file
    Quirk("plain.csv", WHOLE, 40),
    Quirk("tab.tsv", table(delimiter="\t"), 40, says="tabs between cells"),
    Quirk("semicolon.csv", table(delimiter=";"), 40, says="semicolons"),
    Quirk("pipe.txt", table(delimiter="|"), 40, says="pipes"),
    Quirk("zipped.csv.gz", gzip.compress(WHOLE, mtime=0), 40, says="gzip"),
    Quirk("zstd.csv.zst", stored, 40, says="zstd"),
    Quirk("zipped_without_saying.csv", gzip.compress(WHOLE, mtime=0), 40, says="gzip"),
    Quirk("bom.csv", b"\xef\xbb\xbf" + WHOLE, 40),
    Quirk("utf16.csv", table(encoding="utf-16"), 40, says="utf-16"),
    Quirk("latin.csv", table(header=("smiles", "größe"), encoding="latin-1"), 40, says="latin-1"),
    Quirk("windows_lines.csv", table(end="\r\n"), 40),
    Quirk("old_mac_lines.csv", table(end="\r"), 40),
    Quirk("no_header.csv", WHOLE.partition(b"\n")[2], 40, says="no header"),
    Quirk("no_last_line_end.csv", WHOLE.rstrip(b"\n"), 40),
    Quirk("blank_lines.csv", WHOLE.replace(b"CCC,", b"\n\nCCC,", 1) + b"\n\n", 40),
    Quirk("all_quoted.csv", table(quoting=csv.QUOTE_ALL), 40),
    Quirk("structure.sdf", sdf(), 40, says="SDF"),
    Quirk("structure.sdf.gz", gzip.compress(sdf(), mtime=0), 40, says="SDF, gzip"),
    Quirk("columns.parquet", stored, 40, says="Parquet"),
    Quirk("sheet.xlsx", stored, 40, says="Excel"),
    Quirk("names.smi", "\n".join(f"{s} {s}" for s in ALKANES).encode(), says="no column holds numbers or labels"),
    Quirk("tabbed.smi", table(header=("smiles", "y"), delimiter="\t"), 40),
    Quirk("open_quote.csv", WHOLE.replace(b"CCC,", b'"CCC,', 1), says="a quote is opened"),
    Quirk("stray_quote.csv", WHOLE.replace(b"CCC,", b'CC"C,', 1), 39, 1, says="without a SMILES"),
    Quirk("long_row.csv", WHOLE.replace(b"CCC,", b"CCC,7,", 1), 39, 1, says="1 rows too long"),
    Quirk("short_row.csv", WHOLE + b"CC\n", 40, 1, says="1 rows too long or too short"),
    Quirk("nul_byte.csv", WHOLE.replace(b"CCC,", b"C\0CC,", 1), 39, 1),
    Quirk("empty.csv", b"", says="is empty"),
    Quirk("header_only.csv", b"smiles,y\n", says="no rows"),
    Quirk("cut.csv.gz", gzip.compress(WHOLE, mtime=0)[:-30], says="is damaged"),
    Quirk("picture.csv", b"\x89PNG\r\n\x1a\n", says="a picture and no table"),
    Quirk("twice.csv", table(header=("smiles", "smiles")), says="more than once"),
    # the columns
    Quirk("odd names.csv", table(header=("Structure (SMILES)", "IC50 [nM]")), 40, says="'IC50 [nM]'"),
    Quirk("a=b,[c].csv", table(header=("{smiles}", "y=${z}")), 40, says="y=${z}"),
    Quirk(
        "several.csv",
        table([(s, v, v * 2) for s, v in zip(ALKANES, VALUES, strict=True)], ("mol", "a", "b")),
        says="several columns could be the target: a, b",
    ),
    Quirk(
        "several_chosen.csv",
        table([(s, v, v * 2) for s, v in zip(ALKANES, VALUES, strict=True)], ("mol", "a", "b")),
        40,
        words=("--target", "b"),
    ),
    Quirk("no_smiles.csv", table(values(lambda _, v: v), ("name", "y")).replace(b"C", b"x"), says="half is SMILES"),
    Quirk("row_numbers.csv", table([(n, *r) for n, r in enumerate(values(lambda _, v: v))], ("", "smiles", "y")), 40),
    # the values
    Quirk("decimal_comma.csv", table(values(comma), delimiter=";"), 40, says="1,5 is read as 1.5"),
    Quirk("decimal_comma_quoted.csv", table(values(comma)), 40, says="1,5 is read as 1.5"),
    Quirk("bounds.csv", table(values(every(8, ">9.5"))), 40, says="5 bounds (5 with >"),
    Quirk("bounds_comma.csv", table(values(lambda n, v: "<0,1" if n % 8 == 1 else comma(n, v)), delimiter=";"), 40,
          says="5 bounds (0 with >, 5 with <)"),
    Quirk("approximate.csv", table(values(every(8, "~3"))), 40, says="5 approximate"),
    Quirk("spread.csv", table(values(lambda _, v: f"{v} ± 0.3")), 40, says="40 values with a spread"),
    Quirk("missing.csv", table(values(every(8, "n.d."))), 35, 5, says="5 without a measurement"),
    Quirk("dashes.csv", table(values(every(8, "-"))), 35, 5, says="5 without a measurement"),
    Quirk("dates.csv", table(values(every(8, "2021-03-04"))), 35, 5, says="5 dates"),
    Quirk("units.csv", table(values(every(8, "3 nM"))), 35, 5, says="5 that are no number"),
    Quirk("infinite.csv", table(values(every(8, "inf"))), 35, 5),
    Quirk("decades.csv", table(values(lambda n, _: 10.0 ** (n % 7)), ("smiles", "Ki_nM")), 40, says="data.transform=p"),
    Quirk("offset.csv", table(values(lambda n, v: -11179 + v / 1e4)), 40),
    Quirk("tiny.csv", table(values(lambda n, v: v * 1e-12)), 40),
    Quirk("active.csv", table(values(lambda n, _: ("inactive", "Active")[n % 2])), 40, says="'inactive' is read as 0"),
    Quirk("yes.csv", table(values(lambda n, _: ("no", "yes")[n % 2])), 40, says="'no' is read as 0"),
    Quirk("true.csv", table(values(lambda n, _: ("False", "TRUE")[n % 2])), 40, says="'false' is read as 0"),
    Quirk("plus.csv", table(values(lambda n, _: "-+"[n % 2])), 40, says="'-' is read as 0"),
    Quirk("two_words.csv", table(values(lambda n, _: ("BBB+", "BBB-")[n % 2])), 40, says="'BBB+' is read as 0"),
    Quirk("three_words.csv", table(values(lambda n, _: ("low", "mid", "high")[n % 3])), 40, says="3 classes",
          words=("model=gcn",)),
    Quirk("zero_one.csv", table(values(lambda n, _: n % 2)), 40, says="2 classes"),
    # the molecules
    Quirk("mapped.csv", table(smiles(lambda n, s: f"[CH4:{n + 1}]" if n == 0 else s)), 40),
    Quirk("names_behind.csv", table(smiles(lambda n, s: f"{s} alkane {n}")), 40),
    Quirk("cxsmiles.csv", table(smiles(lambda n, s: f"{s} |r|")), 40),
    Quirk("blanks.csv", table(smiles(lambda n, s: f"  {s} ")), 40),
    Quirk("inchi.csv", table(inchis(), ("InChI", "y")), 40),
    Quirk("trivial_names.csv", table(smiles(lambda n, s: "aspirin" if n % 8 == 1 else s)), 35, 5),
    Quirk("cas.csv", table(smiles(lambda n, s: "50-78-2" if n % 8 == 1 else s)), 35, 5),
    Quirk("rest_is_no_smiles.csv", table(smiles(lambda n, s: f"{s}→" if n % 8 == 1 else s)), 35, 5),
    Quirk("salts.csv", table(smiles(lambda n, s: f"{s}.[Na+].[Cl-]" if n % 8 == 1 else s)), 40, says="5, kept whole"),
    Quirk("repeats.csv", table(smiles(lambda n, s: ALKANES[n // 2])), 40, says="20 molecules on 40 rows"),
    Quirk("huge.csv", table(smiles(lambda n, s: "C" * 1500 if n == 1 else s)), 39, 1),
]  # fmt: skip


def write(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    for quirk in QUIRKS:
        if callable(quirk.content):
            quirk.content(folder / quirk.name)
        else:
            (folder / quirk.name).write_bytes(quirk.content)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    print(f"{len(QUIRKS)} files in {sys.argv[1]}")
