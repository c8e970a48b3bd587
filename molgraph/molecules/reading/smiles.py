"""Text to molecules and back: ``SMILES -> parse -> rdkit.Mol -> canonicalize | randomize -> SMILES``.

A SMILES that RDKit rejects raises :class:`InvalidSmiles` with the reason; nothing returns ``None``.
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rdkit import Chem, rdBase

rdBase.DisableLog("rdApp.*")

_SELFIES = re.compile(r"(\[[=#/\\]?[A-Z][A-Za-z0-9@+-]*\]\.?)+")
_BARE = re.compile(r"\[[=#]?(C|N|O|S|Branch[1-3]|Ring[1-3])\]")
_FAST = Chem.SmilesParserParams()
_FAST.sanitize = False  # type: ignore[assignment]  # RDKit's stubs know no setters
_FAST.removeHs = False  # type: ignore[assignment]
_NO_PROBLEM = Chem.SanitizeFlags.SANITIZE_NONE

_MAP = re.compile(r"(\[[^\[\]:]*):\d+\]")
"""An atom map, ``[CH3:1]``."""
_CAS = re.compile(r"\d{2,7}-\d{2}-\d")
_WORD = re.compile(r"[A-Za-z][a-z]{3,}(?:[ -][A-Za-z]+)*")

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


WAYS = ("none", "neutralize", "tautomer", "chembl")


@dataclass(frozen=True)
class Standardization:
    """What is done to a molecule before it becomes a graph.

    Attributes:
        hydrogens: write hydrogens as atoms of their own.
        salts: ``keep`` all fragments, or only the ``largest`` (by heavy atoms).
        stereo: keep the marks of stereochemistry.
        max_atoms: a molecule with more heavy atoms is refused, since a single polymer can hold up a whole file.
        standardize: ``none``, ``neutralize`` (charges that a proton removes), ``tautomer`` (that, and RDKit's canonical
            tautomer), or ``chembl`` (the pipeline of ChEMBL, `Bento et al. 2020 <https://doi.org/10.1186/s13321-020-00456-1>`_).
    """

    hydrogens: bool = False
    salts: str = "keep"
    stereo: bool = True
    max_atoms: int = 1000
    standardize: str = "none"

    def __post_init__(self) -> None:
        """Refuse an unknown way to treat salts or charges."""
        if self.standardize not in WAYS:
            raise ValueError(f"standardize={self.standardize!r} is unknown; use {', '.join(WAYS[:-1])} or {WAYS[-1]}")
        if self.standardize == "chembl":
            _chembl()
        if self.salts not in ("keep", "largest"):
            raise ValueError(f"salts={self.salts!r} is unknown; use keep or largest")


def parse(smiles: str, standardization: Standardization | None = None) -> Chem.Mol:
    """Turn a SMILES, a SELFIES, an InChI or a mol block into a sanitized molecule.

    Atom maps are bookkeeping of reactions: they go before stereo is perceived, and change nothing.

    Args:
        smiles: one molecule; surrounding blanks are ignored, as are a name or CXSMILES after a blank.
        standardization: hydrogens, salts and stereo; by default the molecule stays as written.

    Raises:
        InvalidSmiles: RDKit rejects the text, only its beginning is a molecule, or it has no atom or too many.

    >>> parse("CCO").GetNumAtoms()
    3
    >>> parse("C1CC")
    Traceback (most recent call last):
    molgraph.molecules.reading.smiles.InvalidSmiles: 'C1CC' is not a SMILES (unclosed ring)
    """
    text = smiles.strip()
    most = standardization.max_atoms if standardization else Standardization.max_atoms
    if text[:1] == "[" and _is_selfies(text):
        text = _decoded(text)
    if text[:6] == "InChI=" or "M  END" in text:
        mol = Chem.MolFromInchi(text) if text[0] == "I" else Chem.MolFromMolBlock(smiles)
    else:
        problem = foreign_character(text)
        if problem:
            raise InvalidSmiles(smiles, problem)
        if ":" in text:
            text = _MAP.sub(r"\1]", text)
        try:
            mol = None if len(text) > most and _count_atoms(text) > most else _read(text)
        except (RuntimeError, ValueError, SystemError) as error:
            raise InvalidSmiles(smiles, f"RDKit fails on it ({str(error).strip().splitlines()[0][:120]})") from error
    if mol is None:
        raise InvalidSmiles(smiles, explain_rejection(text, most))
    if mol.GetNumAtoms() == 0:
        raise InvalidSmiles(smiles, "it is empty")
    return mol if standardization is None else _standardize(mol, standardization)


def _is_selfies(text: str) -> bool:
    """Return whether a text is SELFIES: bracketed symbols alone, among them bare atoms, which few SMILES have.

    ``[C][C]`` would be two carbons without hydrogens; nobody means that.
    """
    return "][" in text and _SELFIES.fullmatch(text) is not None and _BARE.search(text) is not None


def _decoded(text: str) -> str:
    try:
        import selfies
    except ModuleNotFoundError as error:
        raise InvalidSmiles(text, "it looks like SELFIES, which needs pip install 'molgraph[selfies]'") from error
    try:
        return str(selfies.decoder(text))
    except selfies.DecoderError as error:
        raise InvalidSmiles(text, "it looks like SELFIES and cannot be decoded") from error


def has_atom_maps(smiles: str) -> bool:
    """Return whether a SMILES has atom maps, ``[CH3:1]``."""
    return ":" in smiles and _MAP.search(smiles) is not None


def foreign_character(text: str) -> str:
    """Return why a text is no SMILES though RDKit would read its beginning as one; empty if nothing is wrong.

    >>> foreign_character("CC(=O)\u041e"), foreign_character("C C O"), foreign_character("CCO ethanol")
    ("character 7 is 'О' (U+041E), which no SMILES has", 'a blank inside, at character 2', '')
    """
    if text.isascii() and text.isprintable() and " " not in text:
        return ""
    first = text.split(None, 1)[0] if text else ""
    for place, letter in enumerate(text):
        in_smiles = place < len(first)
        if (in_smiles and not letter.isascii()) or (letter != "\t" and letter.isascii() and not letter.isprintable()):
            what = "a line break" if letter in "\r\n" else f"{letter!r} (U+{ord(letter):04X})"
            return f"character {place + 1} is {what}, which no SMILES has"
    rest = text[len(first) :].split()
    whole = "".join((first, *rest))
    if rest and not rest[0].startswith("|") and whole.isascii() and Chem.MolFromSmiles(whole, _FAST) is not None:
        return f"a blank inside, at character {len(first) + 1}"
    return ""


def _count_atoms(text: str) -> int:
    """Return the number of atoms of a SMILES, 0 if it is none, without the cost of perceiving rings."""
    mol = Chem.MolFromSmiles(text, _FAST)
    return mol.GetNumAtoms() if mol else 0


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
    if standardization.standardize != "none":
        mol = _standard_form(mol, standardization.standardize)
    if not standardization.stereo:
        mol = Chem.Mol(mol)
        Chem.RemoveStereochemistry(mol)
    return Chem.AddHs(mol) if standardization.hydrogens else mol


def _standard_form(mol: Chem.Mol, way: str) -> Chem.Mol:
    """Return a molecule without removable charges, as its canonical tautomer, or as ChEMBL registers it."""
    if way == "chembl":
        standardizer = _chembl()
        parent, _ = standardizer.get_parent_mol(standardizer.standardize_mol(mol))
        return parent
    from rdkit.Chem.MolStandardize import rdMolStandardize

    mol = rdMolStandardize.Uncharger().uncharge(mol)
    return rdMolStandardize.TautomerEnumerator().Canonicalize(mol) if way == "tautomer" else mol


def _chembl() -> Any:
    try:
        from chembl_structure_pipeline import standardizer
    except ModuleNotFoundError as error:
        raise ValueError("standardize=chembl needs pip install chembl_structure_pipeline") from error
    return standardizer


def explain_rejection(text: str, most: int = Standardization.max_atoms) -> str:
    """Return in one line why ``text`` is rejected; ``most`` is the limit on atoms."""
    if not text:
        return "it is empty"
    if text[:6] == "InChI=" or "M  END" in text:
        return "RDKit cannot read this InChI" if text[0] == "I" else "RDKit cannot read this mol block"
    # What follows a blank may hold any character, and RDKit's log is no text where it is cut inside of one.
    word = text.split(None, 1)[0]
    mol = Chem.MolFromSmiles(word, _FAST)
    if mol is None:
        return _syntax_error(word) + _hint(text)
    if mol.GetNumAtoms() > most:
        return f"it has {mol.GetNumAtoms():,} atoms, more than data.max_atoms={most}"
    problems = Chem.DetectChemistryProblems(mol)
    if not problems and word != text:
        return "what follows the SMILES cannot be read: an extension |...| with a mistake in it?"
    return problems[0].Message().strip() if problems else "RDKit cannot sanitize it"


def _hint(text: str) -> str:
    """Return what the text looks like where it is no SMILES at all."""
    if _CAS.fullmatch(text):
        return "; it looks like a CAS number, and a SMILES is needed"
    return "; it looks like a name, and a SMILES is needed" if _WORD.fullmatch(text) else ""


def _syntax_error(text: str) -> str:
    """Ask RDKit's log for the reason, which it tells nowhere else; the text is ASCII."""
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
