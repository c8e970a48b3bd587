"""Structure files as rows: ``.sdf -> name, smiles, properties`` and ``.smi -> smiles, name``."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from rdkit import Chem, rdBase
from rdkit.Chem import rdDepictor

END = "$$$$"
_PROPERTY = re.compile(r"^>.*?<(.+)>")
TITLE, STRUCTURE = "name", "smiles"
"""Columns of a structure file that are no properties."""


def sdf_columns(lines: Iterable[str]) -> list[str]:
    """Return the columns of a structure file: title and SMILES, then each property in the order of its first use."""
    names: dict[str, None] = {}
    for line in lines:
        found = _PROPERTY.match(line)
        if found:
            names.setdefault(found.group(1).strip())
    return [TITLE, STRUCTURE, *(name for name in names if name not in (TITLE, STRUCTURE))]


def sdf_rows(lines: Iterable[str], columns: list[str]) -> Iterator[tuple[int, list[str], str]]:
    """Yield the line on which each record begins, its cells, and why its structure cannot be read (or nothing)."""
    place = {name: at for at, name in enumerate(columns)}
    record: list[str] = []
    first = 1
    for number, line in enumerate(lines, start=1):
        if line.rstrip() != END:
            record.append(line.rstrip("\r\n"))
            continue
        yield first, *_cells(record, place)
        record, first = [], number + 1
    if any(line.strip() for line in record):
        yield first, *_cells(record, place)


def _cells(record: list[str], place: dict[str, int]) -> tuple[list[str], str]:
    cells = [""] * len(place)
    tags = [at for at, line in enumerate(record) if _PROPERTY.match(line)]
    block = record[: tags[0]] if tags else record
    cells[place[TITLE]] = block[0].strip() if block else ""
    for at, following in zip(tags, [*tags[1:], len(record)], strict=False):
        name = _PROPERTY.match(record[at]).group(1).strip()  # type: ignore[union-attr]
        cells[place[name]] = "\n".join(record[at + 1 : following]).strip()
    smiles, problem = _smiles("\n".join(block) + "\n")
    cells[place[STRUCTURE]] = smiles
    return cells, problem


def _smiles(block: str) -> tuple[str, str]:
    with rdBase.BlockLogs():
        try:
            mol = Chem.MolFromMolBlock(block)
        except (RuntimeError, ValueError, UnicodeError):
            mol = None
    if mol is None:
        return "", "the structure of this record cannot be read; open it in a molecule editor and write it again"
    if not mol.GetNumAtoms():
        return "", "the record has no atoms"
    return Chem.MolToSmiles(mol), ""


def smi_rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the line and the cells of each molecule: its SMILES (with a CXSMILES extension), and what follows it."""
    for number, line in enumerate(lines, start=1):
        words = line.strip().split(None, 1)
        if not words or (number == 1 and words[0].lower() in ("smiles", "smi", "canonical_smiles")):
            continue
        rest = words[1].strip() if len(words) > 1 else ""
        if rest.startswith("|") and "|" in rest[1:]:
            extension, rest = rest[: rest.index("|", 1) + 1], rest[rest.index("|", 1) + 1 :].strip()
            words[0] += f" {extension}"
        yield number, [words[0], rest]


class SdfWriter:
    """Rows to SDF: the structure drawn in a plane, every column a property; one without atoms where there is none."""

    def __init__(self, file: TextIO, header: Sequence[str]) -> None:
        """Write to an open text file.

        Raises:
            ValueError: no column of molecules.
        """
        self._file, self._header = file, list(header)
        found = [
            at for at, name in enumerate(header) if "smiles" in name.lower() or name.lower() in ("smi", "structure")
        ]
        if not found:
            raise ValueError("an SDF needs a column `smiles`; choose .csv or .parquet for -o")
        self._structure = found[0]

    def write(self, cells: Sequence[str]) -> None:
        """Write one record."""
        self._file.write(_mol_block(cells[self._structure]))
        for name, cell in zip(self._header, cells, strict=True):
            text = "\n".join(line for line in cell.replace("\r", "\n").split("\n") if line.strip() and line != END)
            self._file.write(f">  <{name.replace('>', '').replace('<', '')}>\n{text}\n\n")
        self._file.write(f"{END}\n")


def _mol_block(smiles: str) -> str:
    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None:
            mol = Chem.Mol()
        else:
            rdDepictor.Compute2DCoords(mol)
        return Chem.MolToMolBlock(mol)
