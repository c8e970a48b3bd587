"""Bytes to lines and their dialect, found by content and not by name: ``stream -> decompress -> decode -> dialect``."""

import codecs
import csv
import gzip
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, cast

SAMPLE = 1 << 20
"""Bytes that are looked at before a format is decided."""
LONGEST_LINE = 10_000_000
"""Characters of a line at most: what has no line end, such as a zip bomb, is refused before it fills the memory."""
DELIMITERS = ",;\t|"
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class TableFormat:
    """How a table is written down."""

    kind: str = "csv"
    """``csv``: delimited text."""
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
    for magic, what in ((b"PAR1", "a Parquet file"), (b"PK\x03\x04", "an Excel workbook or a zip archive")):
        if head.startswith(magic):
            raise ValueError(f"{name} is {what}, which is not read yet; save it as CSV")
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


def bounded_lines(text: io.TextIOBase, name: str) -> Iterator[str]:
    """Yield the lines of a text with their ends.

    Raises:
        ValueError: a line without end.
    """
    number = 0
    while line := text.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and line[-1] not in "\r\n":
            raise ValueError(f"{name}, line {number} has more than {LONGEST_LINE:,} characters; is it a table at all?")
        yield line


def guess_delimiter(lines: list[str]) -> str:
    """Return what separates the cells: it is in the first line, and all lines agree on the number of cells."""
    scores = {}
    for delimiter in DELIMITERS:
        counts = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        if counts and counts[0] > 1:
            scores[delimiter] = (sum(count == counts[0] for count in counts) / len(counts), counts[0])
    return max(scores, key=lambda delimiter: scores[delimiter], default=",")


def guess_decimal(lines: list[str], delimiter: str) -> str:
    """Return the decimal mark that most numbers of these lines are written with."""
    cells = [cell.strip() for row in csv.reader(lines, delimiter=delimiter) for cell in row]
    commas, points = (
        sum(bool(re.fullmatch(rf"[-+<>~]?\d+{mark}\d+", cell)) for cell in cells) for mark in (",", r"\.")
    )
    return "," if delimiter != "," and commas > points else "."
