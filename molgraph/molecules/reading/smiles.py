"""Text to molecules and back: ``SMILES -> parse -> rdkit.Mol -> canonicalize | randomize -> SMILES``.

A SMILES that RDKit rejects raises :class:`InvalidSmiles` with the reason; nothing returns ``None``.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from rdkit import Chem, rdBase

rdBase.DisableLog("rdApp.*")

_FAST = Chem.SmilesParserParams()
_FAST.sanitize = False  # type: ignore[assignment]  # RDKit's stubs know no setters
_FAST.removeHs = False  # type: ignore[assignment]
_NO_PROBLEM = Chem.SanitizeFlags.SANITIZE_NONE

_HYDROGEN = re.compile(r"\[\d*(?:H|#1)")
"""Hydrogens as atoms (``[H]``, ``[2H]``, ``[#1]``), and what begins alike (``[Hg]``)."""


class InvalidSmiles(ValueError):
    """A text that is not the SMILES of a molecule.

    Attributes:
        smiles: the text.
        reason: why RDKit rejects it.
    """

    def __init__(self, smiles: str, reason: str) -> None:
        super().__init__(f"{smiles!r} is not a SMILES ({reason})")
        self.smiles, self.reason = smiles, reason

    def __reduce__(self) -> tuple[type["InvalidSmiles"], tuple[str, str]]:
        """Travel between processes: a worker's error that cannot be read back would leave the caller waiting."""
        return type(self), (self.smiles, self.reason)


@dataclass(frozen=True)
class Standardization:
    """What is done to a molecule before it becomes a graph.

    Attributes:
        hydrogens: write hydrogens as atoms of their own.
        salts: ``keep`` all fragments, or only the ``largest`` (by heavy atoms).
        stereo: keep the marks of stereochemistry.
    """

    hydrogens: bool = False
    salts: str = "keep"
    stereo: bool = True

    def __post_init__(self) -> None:
        """Refuse an unknown way to treat salts."""
        if self.salts not in ("keep", "largest"):
            raise ValueError(f"salts={self.salts!r} is unknown; use keep or largest")


def parse(smiles: str, standardization: Standardization | None = None) -> Chem.Mol:
    """Turn a SMILES into a sanitized molecule.

    Args:
        smiles: one molecule; surrounding blanks are ignored.
        standardization: hydrogens, salts and stereo; by default the molecule stays as written.

    Raises:
        InvalidSmiles: RDKit rejects the text, or it has no atom.

    >>> parse("CCO").GetNumAtoms()
    3
    >>> parse("C1CC")
    Traceback (most recent call last):
    molgraph.molecules.reading.smiles.InvalidSmiles: 'C1CC' is not a SMILES (unclosed ring)
    """
    text = smiles.strip()
    mol = _read(text)
    if mol is None:
        raise InvalidSmiles(smiles, explain_rejection(text))
    if mol.GetNumAtoms() == 0:
        raise InvalidSmiles(smiles, "it is empty")
    return mol if standardization is None else _standardize(mol, standardization)


def parse_valid(
    smiles: Sequence[str], standardization: Standardization | None = None
) -> tuple[list[Chem.Mol], dict[int, str]]:
    """Turn the valid ones among many SMILES into molecules.

    Args:
        smiles: any texts.
        standardization: as in :func:`parse`.

    Returns:
        The molecules in order, and for the number of each other text the reason why it is none.

    >>> mols, reasons = parse_valid(["CCO", "C1CC"])
    >>> len(mols), reasons
    (1, {1: 'unclosed ring'})
    """
    mols, reasons = [], {}
    for number, text in enumerate(smiles):
        try:
            mols.append(parse(text, standardization))
        except InvalidSmiles as error:
            reasons[number] = error.reason
    return mols, reasons


def _read(text: str) -> Chem.Mol | None:
    if _needs_all(text):
        return Chem.MolFromSmiles(text)
    # Without marks of stereo and hydrogens of their own there is nothing to perceive or to remove: the same, faster.
    mol = Chem.MolFromSmiles(text, _FAST)
    if mol is None or Chem.SanitizeMol(mol, catchErrors=True) != _NO_PROBLEM:
        return None
    return mol


def _needs_all(text: str) -> bool:
    """Tell of stereo, of hydrogens as atoms, and of RDKit's extensions, which follow a blank."""
    if "@" in text or "/" in text or "\\" in text or " " in text or "\t" in text:
        return True
    return "[" in text and _HYDROGEN.search(text) is not None


def _standardize(mol: Chem.Mol, standardization: Standardization) -> Chem.Mol:
    if standardization.salts == "largest":
        fragments = Chem.GetMolFrags(mol, asMols=True)
        mol = max(fragments, key=lambda fragment: (fragment.GetNumHeavyAtoms(), fragment.GetNumAtoms()))
    if not standardization.stereo:
        mol = Chem.Mol(mol)
        Chem.RemoveStereochemistry(mol)
    return Chem.AddHs(mol) if standardization.hydrogens else mol


def explain_rejection(text: str) -> str:
    """Return in one line why RDKit rejects ``text``."""
    if not text:
        return "it is empty"
    mol = Chem.MolFromSmiles(text, _FAST)
    if mol is None:
        return _syntax_error(text)
    problems = Chem.DetectChemistryProblems(mol)
    return problems[0].Message().strip() if problems else "RDKit cannot sanitize it"


def _syntax_error(text: str) -> str:
    """Ask RDKit's log for the reason, which it tells nowhere else."""
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("rdkit")
    handlers, logger.handlers = logger.handlers, [handler]
    rdBase.LogToPythonLogger()
    rdBase.EnableLog("rdApp.error")
    try:
        Chem.MolFromSmiles(text, _FAST)
    finally:
        rdBase.LogToCppStreams()
        rdBase.DisableLog("rdApp.*")
        logger.handlers = handlers
    return _shorten(" ".join(records))


def _shorten(log: str) -> str:
    for clue in ("unclosed ring", "extra close parentheses", "extra open parentheses"):
        if clue in log:
            return clue
    if "check for mistakes around position" in log:
        position = log.split("check for mistakes around position")[1].split(":")[0].strip()
        return f"syntax error near character {position}"
    message = log.split("SMILES Parse Error:")[-1].split(" for input:")[0].strip().strip("'\"")
    return message.splitlines()[0][:120] if message else "syntax error"


def canonicalize(smiles: str, standardization: Standardization | None = None) -> str:
    """Return RDKit's canonical SMILES, one text for one molecule.

    >>> canonicalize("OCC"), canonicalize("C(C)O")
    ('CCO', 'CCO')
    """
    return Chem.MolToSmiles(parse(smiles, standardization))


def randomize(smiles: str, count: int, seed: int) -> list[str]:
    """Return ``count`` random SMILES of a molecule (random order of atoms, restricted form); a seed repeats them.

    >>> randomize("CCO", 3, seed=1) == randomize("CCO", 3, seed=1)
    True
    """
    # RDKit takes a seed of 0 to mean "no seed".
    return list(Chem.MolToRandomSmilesVect(parse(smiles), count, randomSeed=seed % (2**31 - 2) + 1))
