"""Bytes to lines and their dialect, found by content and not by name: ``stream -> decompress -> decode -> dialect``."""

import codecs
import gzip
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

SAMPLE = 1 << 20
"""Bytes that are looked at before a format is decided."""
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class TableFormat:
    """How a table is written down."""

    kind: str = "csv"
    """``csv`` (delimited text), ``sdf``, ``smi``, ``parquet`` or ``excel``."""
    delimiter: str = ","
    """What separates the cells."""
    decimal: str = "."
    """Decimal mark of the numbers, as guessed from the first rows."""
    encoding: str = "utf-8"
    """Of the text, as Python names it."""
    compression: str = ""
    """``gzip``, ``zstd`` or empty."""
    header: bool = True
    """Whether the first line names the columns."""
    types: Mapping[str, str] = field(default_factory=dict)
    """``int64`` or ``double`` of the columns that are stored as numbers; all others are text."""


class _Rejoined(io.RawIOBase):
    """A stream whose beginning has been read, whole again: standard input cannot be sought."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self.head, self.rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]  # noqa: ANN001
        part = self.head[: len(buffer)] or self.rest.read(len(buffer))
        self.head = self.head[len(part) :]
        buffer[: len(part)] = part
        return len(part)


def peek(stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    """Return the first bytes of a stream, and the whole stream."""
    head = stream.read(SAMPLE)
    return head, cast(BinaryIO, io.BufferedReader(_Rejoined(head, stream), 1 << 16))


def decompress(stream: BinaryIO, name: str) -> tuple[str, bytes, BinaryIO]:
    """Return the compression of a stream, the first bytes of what is in it, and all that is in it.

    Raises:
        ValueError: a format that is no text, or that needs a package which is not installed.
    """
    head, stream = peek(stream)
    if head.startswith(b"\x1f\x8b"):
        return "gzip", *peek(cast(BinaryIO, gzip.GzipFile(fileobj=stream)))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        try:
            import zstandard
        except ModuleNotFoundError as error:
            raise ValueError(f"{name} is compressed by zstd; pip install zstandard") from error
        return "zstd", *peek(cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(stream)))
    return "", head, stream


def guess_encoding(head: bytes) -> str:
    """Return the encoding of a text by its first bytes: a byte order mark, the zeros of UTF-16, UTF-8, or Latin-1."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding
    if len(head) > 3 and head[1::2].count(0) > len(head) // 5:
        return "utf-16-le"
    if len(head) > 3 and head[0::2].count(0) > len(head) // 5:
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < SAMPLE)
    except UnicodeDecodeError:
        return "cp1252" if re.search(rb"[\x80-\x9f]", head) else "latin-1"
    return "utf-8"


def kind_of(head: bytes, name: str, asked: bool) -> str:
    """Return what a file holds by its first bytes, and by the ending of its name where they do not tell.

    Args:
        head: first bytes, decompressed.
        name: of the file.
        asked: whether somebody named a delimiter, so that it is delimited text.

    Raises:
        ValueError: a format that is no table.
    """
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK\x03\x04"):
        return "excel"
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise ValueError(f"{name} is a workbook of Excel 2003 or older; save it as .xlsx or .csv")
    for magic, what in ((b"%PDF", "a PDF"), (b"\x89PNG", "a picture"), (b"\x89HDF", "an HDF5 file"), (b"BZh", "bzip2")):
        if head.startswith(magic):
            raise ValueError(f"{name} is {what} and no table; give CSV, SDF, SMI, Parquet or Excel")
    if asked:
        return "csv"
    stem = plain_name(name)
    if stem.endswith((".sdf", ".sd", ".mol")):
        if b"M  END" not in head:
            raise ValueError(f"{name} holds no structure that ends in 'M  END'; is it an SDF file?")
        return "sdf"
    if re.match(rb"([^\n]*\n){3}[^\n]*V[23]000\s*\n", head):
        return "sdf"
    first = head.split(b"\n", 1)[0].lower()
    titled = b"smi" in first and any(mark in first for mark in (b"\t", b",", b";"))
    return "smi" if stem.endswith((".smi", ".smiles", ".ism", ".can")) and not titled else "csv"


def plain_name(name: str) -> str:
    """Return the name of a file in lower case, without the ending of its compression.

    >>> plain_name("Assay.CSV.gz")
    'assay.csv'
    """
    return name.lower().removesuffix(".gz").removesuffix(".zst")


def resumable(path: Path) -> bool:
    """Return whether rows can be added to the file of that name: plain delimited text."""
    return path.suffix.lower() in (".csv", ".tsv", ".tab", ".txt")
