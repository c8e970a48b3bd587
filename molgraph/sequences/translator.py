"""A trained translator: which way it translates, its candidates, and what it looked at.

run folder -> Translator -> beam -> candidates of each source, attention map
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from molgraph.molecules.chemistry import strip_atom_maps
from molgraph.molecules.smiles import InvalidSmiles
from molgraph.sequences.architecture import make_decoder, make_encoder, make_shape
from molgraph.sequences.batch import pad
from molgraph.sequences.decode import Hypothesis, decode, in_batches
from molgraph.sequences.decoder import Decoder
from molgraph.sequences.pictures import draw_attention
from molgraph.sequences.rnn import RecurrentShape
from molgraph.sequences.strategies import Beam, Greedy
from molgraph.sequences.tokenizer import BOS, EOS, Notation, Vocabulary, split
from molgraph.training.checkpoint import load_checkpoint
from molgraph.training.precision import choose_device


@dataclass(frozen=True)
class Direction:
    """What is read and what is written."""

    name: str
    """As in `task.direction`."""
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
    def named(cls, name: str) -> Direction:
        """The direction of that name.

        Raises:
            ValueError: if there is none.
        """
        if name not in DIRECTIONS:
            raise ValueError(f"unknown direction {name!r}; choose one of {', '.join(DIRECTIONS)}")
        return DIRECTIONS[name]

    def columns(self, own: Sequence[str] | None = None) -> tuple[str, ...]:
        """Columns of source and target; one's own file may call them otherwise, in this order."""
        if own and len(own) >= 2:
            return own[0], own[1]
        return (self.source, self.target) if self.source != self.target else ((own or [self.source])[0],)

    def pair(self, row: Sequence[str]) -> tuple[str, str]:
        """Source and target of a row, without atom maps: their order would tell where the reaction happens."""
        return self._clean(row[0], self.reads_smiles), self._clean(row[-1], self.writes_smiles)

    def notation(self, source: bool, smiles: Notation) -> Notation:
        """How a side is cut into tokens: names by character."""
        return smiles if (self.reads_smiles if source else self.writes_smiles) else "characters"

    @staticmethod
    def _clean(text: str, is_smiles: bool) -> str:
        if not (is_smiles and ":" in text):
            return text
        try:
            return strip_atom_maps(text)[0]
        except InvalidSmiles:
            return ""


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


@dataclass(frozen=True)
class Translator:
    """A trained encoder and decoder."""

    encoder: nn.Module
    """In evaluation mode."""
    decoder: Decoder
    """In evaluation mode."""
    source: Vocabulary
    """Of the sources."""
    target: Vocabulary
    """Of the targets."""
    direction: Direction
    """What is read and written."""
    longest: int
    """Tokens at most, on either side."""

    @classmethod
    def load(cls, run: Path, device: str = "auto") -> Translator:
        """Loads the best weights of a run.

        Raises:
            ValueError: if it is no run of a translator.
        """
        content = load_checkpoint(Path(run) / "best.pt")
        state, config = yaml.safe_load(content["state"]), yaml.safe_load(content["config"])
        if state.get("task") != "translate":
            raise ValueError(f"{run} is not a run of task=translate; only those translate")
        source, target = Vocabulary.restore(state["source"]), Vocabulary.restore(state["target"])
        encoder, decoder = make_pair(config["model"]["shape"], len(source), len(target), state["longest"])
        pair = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
        pair.load_state_dict(content["task"])
        pair.to(choose_device(device)).eval()
        return cls(encoder, decoder, source, target, Direction.named(state["direction"]), state["longest"])

    def translate(self, sources: Sequence[str], beam: int = 5, batch_size: int = 64) -> list[list[tuple[str, float]]]:
        """Candidates of each source, the best first, with their log-probabilities.

        Args:
            sources: cleaned texts, see `read_source`.
            beam: candidates; 1 is greedy.
            batch_size: sources at a time; halved when memory runs out.

        Raises:
            ValueError: if a source is empty or too long.
        """
        rows = [self._encoded(text, row) for row, text in enumerate(sources)]
        device = next(self.decoder.parameters()).device
        strategy = Beam(beam) if beam > 1 else Greedy()

        @torch.no_grad()
        def run(start: int, stop: int) -> list[list[Hypothesis]]:
            memory = self.encoder(pad(rows[start:stop]).to(device))
            return decode(self.decoder, strategy, stop - start, self.longest - 1, memory)

        found = in_batches(run, len(rows), batch_size)
        return [[(self.target.decode(h.tokens), h.log_prob) for h in hypotheses] for hypotheses in found]

    def read_source(self, text: str) -> tuple[str, list[str]]:
        """A source in the form that the model learned from, and what is to be said about it.

        Raises:
            ValueError: if it is empty.
        """
        text, notes = text.strip(), []
        if not text:
            raise ValueError("the source is empty; give a SMILES or a name")
        if self.direction.reads_smiles and ":" in text:
            text, mapped = strip_atom_maps(text)
            notes = ["its atom maps were stripped"] if mapped else []
        strange = self.source.unknown([text]).get(0)
        if strange:
            notes.append(f"it has tokens that were not in the training part ({', '.join(sorted(set(strange)))})")
        return text, notes

    def attention(self, source: str, target: str) -> torch.Tensor:
        """How much each written token looked at each source token [T, S], without `<bos>` and `<eos>`."""
        device = next(self.decoder.parameters()).device
        with torch.no_grad():
            memory = self.encoder(pad([self._encoded(source, 0)]).to(device))
            tokens = torch.tensor([[BOS, *self.target.encode(target)]], device=device)
            weights = self.decoder.attention(tokens, memory)[0]
        return weights[:-1, 1:-1].float().cpu()

    def _encoded(self, text: str, row: int) -> list[int]:
        tokens = [BOS, *self.source.encode(text), EOS]
        if len(tokens) == 2:
            raise ValueError(f"row {row}: the source is empty; give a SMILES or a name")
        if len(tokens) > self.longest:
            raise ValueError(f"row {row}: {text!r} has {len(tokens) - 2} tokens; the model reads {self.longest - 2}")
        return tokens


def make_pair(shape: dict[str, Any], source: int, target: int, longest: int) -> tuple[nn.Module, Decoder]:
    """Encoder and decoder for vocabularies of these sizes; a linear attention serves the encoder alone."""
    kind = make_shape(shape)
    encoder = make_encoder(kind, source, longest)
    causal = kind if isinstance(kind, RecurrentShape) else make_shape(shape | {"attention": "full"})
    return encoder, make_decoder(causal, target, encoder.width, 0, longest)


def draw_example(translator: Translator, source: str, path: Path) -> bool:
    """Draws what each token of the best translation looked at; False if the decoder has no attention to draw."""
    ((best, _), *_), *_ = translator.translate([source], 1)
    if not best:
        return False
    try:
        weights = translator.attention(source, best)
    except ValueError:
        return False
    ours, theirs = (split(text, v.notation) for text, v in ((source, translator.source), (best, translator.target)))
    draw_attention(weights.numpy(), ours, theirs, path, translator.direction.name.replace("_", " "))
    return True
