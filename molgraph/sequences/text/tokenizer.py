"""Text to tokens and back: one regular expression per notation, and a vocabulary as a value.

text -> split -> tokens -> Vocabulary.encode -> numbers -> Vocabulary.decode -> text
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

Notation = Literal["smiles", "characters", "selfies"]

PAD, BOS, EOS, UNK = range(4)
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")

# Schwaller et al., Chem. Sci. 2018, table S1, with %(nnn) and >> added. The last alternative takes any other single
# character, so that joining the tokens always gives the text back and what is foreign becomes an unknown token.
_SMILES = re.compile(
    r"\[[^\]]+\]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\*|\(|\)|\.|=|#|\$|-|\+|\\|/|:|~|@|\?|>>|>|%\(\d+\)|%\d{2}|\d|.",
    re.DOTALL,
)
_ATOM = re.compile(r"\[[^\]]+\]|Br?|Cl?|N|O|S|P|F|I|b|c|n|o|s|p|\*")

# A randomized or generated SMILES opens more rings at a time than the canonical one that a vocabulary was built on.
_RING_LABELS = tuple(str(label) for label in range(1, 10)) + tuple(f"%{label}" for label in range(10, 16))


def split(text: str, notation: Notation = "smiles") -> list[str]:
    """Cut a text into tokens; joining them gives the text back (SELFIES: the same molecule).

    Args:
        text: a SMILES, or any text for ``characters``.
        notation: ``smiles`` (one token an atom, bond, ring label or bracket), ``characters``, or ``selfies``
            (the SMILES is translated first; Krenn et al. 2020).

    Returns:
        The tokens. A SMILES that SELFIES cannot express is the single token ``<unk>``.

    >>> split("C[C@H](Cl)Br")
    ['C', '[C@H]', '(', 'Cl', ')', 'Br']
    """
    if notation == "smiles":
        return _SMILES.findall(text)
    if notation == "characters":
        return list(text)
    if notation == "selfies":
        return _split_selfies(text)
    raise ValueError(f"unknown notation {notation!r}; choose one of {', '.join(get_args(Notation))}")


def join(tokens: Iterable[str], notation: Notation = "smiles") -> str:
    """Return tokens to text, the inverse of ``split``."""
    text = "".join(tokens)
    return _selfies().decoder(text) if notation == "selfies" else text


def atoms_of_tokens(tokens: Sequence[str]) -> list[int]:
    """Return the atom that each SMILES token writes, in the order in which RDKit numbers the atoms of that SMILES.

    Args:
        tokens: tokens of the ``smiles`` notation.

    Returns:
        One number a token; -1 for a bond, branch, ring label or dot, and for ``[H]``, which RDKit folds away.

    >>> atoms_of_tokens(split("C(=O)Cl"))
    [0, -1, -1, 1, -1, 2]
    """
    atoms, count = [], 0
    for token in tokens:
        is_atom = _ATOM.fullmatch(token) is not None and token != "[H]"
        atoms.append(count if is_atom else -1)
        count += is_atom
    return atoms


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that a model knows, as a value: equal when the tokens are equal, plain YAML when saved.

    A token outside the vocabulary is never an error: it becomes ``<unk>`` and ``unknown`` counts it by row.
    """

    tokens: tuple[str, ...]
    """Every token, the four special ones (``<pad> <bos> <eos> <unk>``) first."""

    notation: Notation = "smiles"
    """How a text is cut into tokens."""

    def __post_init__(self) -> None:
        if self.tokens[: len(SPECIAL)] != SPECIAL:
            raise ValueError(f"a vocabulary starts with {' '.join(SPECIAL)}, not with {' '.join(self.tokens[:4])!r}")
        if len(self.tokens) == len(SPECIAL):
            raise ValueError("the vocabulary is empty: the training part has no tokens; check the column of the file")
        if len(set(self.tokens)) != len(self.tokens):
            twice = [token for token, count in Counter(self.tokens).items() if count > 1]
            raise ValueError(f"tokens {twice} stand twice in the vocabulary; remove the second")

    @classmethod
    def build(cls, texts: Iterable[str], notation: Notation = "smiles") -> "Vocabulary":
        """Collect the tokens of the training part, in alphabetic order, so that the order of rows does not matter.

        Args:
            texts: the training part only; pass randomized SMILES too when the model will see them.
            notation: how a text is cut into tokens.
        """
        found = {token for text in texts for token in split(text, notation)}
        if found and notation == "smiles":
            found.update(_RING_LABELS)
        return cls(SPECIAL + tuple(sorted(found - set(SPECIAL))), notation)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Token to number."""
        return {token: number for number, token in enumerate(self.tokens)}

    def encode(self, text: str) -> list[int]:
        """Return the token numbers of a text, without ``<bos>`` and ``<eos>``; ``<unk>`` for what is not known."""
        numbers = self.numbers
        return [numbers.get(token, UNK) for token in split(text, self.notation)]

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text up to the first ``<eos>``; an unknown token is written as ``<unk>``.

        >>> vocabulary = Vocabulary.build(["CCO"])
        >>> vocabulary.decode(vocabulary.encode("OCC") + [EOS])
        'OCC'
        """
        tokens = []
        for number in numbers:
            if number == EOS:
                break
            if number not in (PAD, BOS):
                tokens.append(self.tokens[number])
        return join(tokens, self.notation) if SPECIAL[UNK] not in tokens else "".join(tokens)

    def unknown(self, texts: Sequence[str]) -> dict[int, list[str]]:
        """Return the unknown tokens of each row that has any: ``{row: tokens}``."""
        known = self.numbers.keys() - {SPECIAL[UNK]}
        found = {}
        for row, text in enumerate(texts):
            strange = [token for token in split(text, self.notation) if token not in known]
            if strange:
                found[row] = strange
        return found

    def check(self, texts: Sequence[str]) -> str:
        """Encode and decodes every text and says in one line what was lost.

        Raises:
            ValueError: if a text without unknown tokens does not come back unchanged (SELFIES is not compared: it
                keeps the molecule, not the writing).
        """
        unknown = self.unknown(texts)
        if self.notation != "selfies":
            for row, text in enumerate(texts):
                if row not in unknown and self.decode(self.encode(text)) != text:
                    raise ValueError(f"row {row}: {text!r} comes back as {self.decode(self.encode(text))!r}")
        counts = Counter(token for tokens in unknown.values() for token in tokens)
        strange = ", ".join(f"{token} x{count}" for token, count in counts.most_common(5))
        lost = f"; {len(unknown)} rows with unknown tokens ({strange}), first row {min(unknown)}" if unknown else ""
        exact = "the molecules are kept" if self.notation == "selfies" else "the round trip is exact"
        return f"{len(self)} in the vocabulary, {exact} for {len(texts) - len(unknown):,} of {len(texts):,} texts{lost}"

    def state(self) -> dict[str, Any]:
        """Return plain values that ``Vocabulary.restore`` turns back into this vocabulary."""
        return {"tokens": list(self.tokens), "notation": self.notation}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> "Vocabulary":
        """Return the inverse of ``state``."""
        return cls(tuple(state["tokens"]), state["notation"])


def _selfies() -> Any:
    try:
        import selfies
    except ImportError as error:
        raise ValueError("notation 'selfies' needs the package selfies: pip install 'molgraph[selfies]'") from error
    return selfies


def _split_selfies(smiles: str) -> list[str]:
    selfies = _selfies()
    try:
        return list(selfies.split_selfies(selfies.encoder(smiles)))
    except selfies.EncoderError:
        return [SPECIAL[UNK]]
