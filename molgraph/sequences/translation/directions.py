"""Which way a translator translates: what is source, what is target, and how each is written.

task.direction -> Direction -> columns, cleaned pair, notation of each side
"""

from collections.abc import Sequence
from dataclasses import dataclass

from molgraph.molecules.reading import strip_atom_maps
from molgraph.sequences.text.tokenizer import Notation


@dataclass(frozen=True)
class Direction:
    """What is read and what is written."""

    name: str
    """As in ``task.direction``."""
    source: str
    """Column of the source."""
    target: str
    """Column of the target."""
    reads_smiles: bool = True
    """The source is a SMILES, else a name."""
    writes_smiles: bool = True
    """The target is a SMILES, else a name."""
    random_source: bool = False
    """The source is written anew in each epoch."""

    @classmethod
    def named(cls, name: str) -> "Direction":
        """Return the direction of that name.

        Raises:
            ValueError: if there is none.
        """
        if name not in DIRECTIONS:
            raise ValueError(f"unknown direction {name!r}; choose one of {', '.join(DIRECTIONS)}")
        return DIRECTIONS[name]

    def columns(self, own: Sequence[str] | None = None) -> tuple[str, ...]:
        """Return columns of source and target; one's own file may call them otherwise, in this order."""
        if own and len(own) >= 2:
            return own[0], own[1]
        return (self.source, self.target) if self.source != self.target else ((own or [self.source])[0],)

    @property
    def groups(self) -> dict[str, int]:
        """Return what may keep pairs in one part, and in which column it stands; the first is the usual one."""
        if "product" in (self.source, self.target):
            first = {"product": 0 if self.source == "product" else -1}
        else:
            first = {"molecule": 0 if self.reads_smiles else -1}
        return first | {"source": 0, "target": -1}

    def pair(self, row: Sequence[str]) -> tuple[str, str]:
        """Return source and target of a row, without atom maps: their order would tell where the reaction happens.

        Raises:
            InvalidSmiles: if the maps cannot be stripped, because a side is no molecule.
        """
        return self._clean(row[0], self.reads_smiles), self._clean(row[-1], self.writes_smiles)

    def notation(self, source: bool, smiles: Notation) -> Notation:
        """Return how a side is cut into tokens: names by character."""
        return smiles if (self.reads_smiles if source else self.writes_smiles) else "characters"

    @staticmethod
    def _clean(text: str, is_smiles: bool) -> str:
        return strip_atom_maps(text)[0] if is_smiles and ":" in text else text


DIRECTIONS = {
    direction.name: direction
    for direction in (
        Direction("reactants_to_product", "reactants", "product"),
        Direction("product_to_reactants", "product", "reactants"),
        Direction("random_to_canonical", "smiles", "smiles", random_source=True),
        Direction("name_to_smiles", "name", "smiles", reads_smiles=False),
        Direction("smiles_to_name", "smiles", "name", writes_smiles=False),
    )
}
"""All directions."""
