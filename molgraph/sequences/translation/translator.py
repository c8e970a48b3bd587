"""A trained translator: which way it translates, its candidates, and what it looked at.

run folder -> Translator -> beam -> candidates of each source, attention map
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml
from torch import nn

from molgraph.molecules.reading import canonicalize_all, strip_atom_maps
from molgraph.sequences.decoding.decode import Hypothesis, decode, in_batches
from molgraph.sequences.decoding.strategies import Beam, Greedy
from molgraph.sequences.evaluation.pictures import draw_attention
from molgraph.sequences.layers.architecture import Shape, decoder_shape, make_decoder
from molgraph.sequences.layers.decoder import Decoder
from molgraph.sequences.layers.rnn import RecurrentShape
from molgraph.sequences.text.tokenizer import BOS, Vocabulary, split
from molgraph.sequences.translation.directions import Direction
from molgraph.sequences.translation.sources import Source, restore_source
from molgraph.training.checkpoint import load_checkpoint
from molgraph.training.hardware.precision import choose_device


@dataclass(frozen=True)
class Translator:
    """A trained encoder and decoder."""

    encoder: nn.Module
    """In evaluation mode."""
    decoder: Decoder
    """In evaluation mode."""
    source: Source
    """How a source is read."""
    target: Vocabulary
    """Of the targets."""
    direction: Direction
    """What is read and written."""
    longest: int
    """Tokens at most, of a target and of a source that is a text."""
    largest: int = 0
    """Tokens or atoms of the largest source of the training part; 0 if that is not known."""

    @classmethod
    def load(cls, run: Path, device: str = "auto") -> "Translator":
        """Load the best weights of a run.

        Raises:
            ValueError: if it is no run of a translator.
        """
        content = load_checkpoint(Path(run) / "best.pt")
        state, config = yaml.safe_load(content["state"]), yaml.safe_load(content["config"])
        if state.get("task") != "translate":
            raise ValueError(f"{run} is not a run of task=translate; only those translate")
        target, longest = Vocabulary.restore(state["target"]), state["longest"]
        source = restore_source(config["model"], state["source"], longest)
        encoder = source.make_encoder()
        decoder = make_target(decoder_shape(config["model"]), len(target), encoder, longest)
        pair = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
        pair.load_state_dict(content["task"])
        pair.to(choose_device(device)).eval()
        return cls(encoder, decoder, source, target, Direction.named(state["direction"]), longest, state["largest"])

    def translate(self, sources: Sequence[str], beam: int = 5, batch_size: int = 64) -> list[list[tuple[str, float]]]:
        """Return candidates of each source, the best first, with their log-probabilities.

        Args:
            sources: cleaned texts, see ``read_source``.
            beam: candidates; 1 is greedy.
            batch_size: sources at a time; halved when memory runs out.

        Raises:
            ValueError: if a source cannot be read, or the beam is not at least 1.
        """
        strategy = Beam(beam) if beam != 1 else Greedy()
        for row, text in enumerate(sources):
            try:
                self.source.check(text)
            except ValueError as error:
                raise ValueError(f"row {row}: {error}") from error
        device = next(self.decoder.parameters()).device

        @torch.no_grad()
        def run(start: int, stop: int) -> list[list[Hypothesis]]:
            memory = self.encoder(self.source.batch(sources[start:stop]).to(device))
            return decode(self.decoder, strategy, stop - start, self.longest - 1, memory)

        found = in_batches(run, len(sources), batch_size)
        return [[(self.target.decode(h.tokens), h.log_prob) for h in hypotheses] for hypotheses in found]

    def read_source(self, text: str) -> tuple[str, list[str]]:
        """Return a source in the form that the model learned from, and what is to be said about it.

        Raises:
            ValueError: if it is empty, too long or no molecule where one is needed.
        """
        text, notes = text.strip(), []
        if self.direction.reads_smiles and ":" in text:
            text, mapped = strip_atom_maps(text)
            notes = ["its atom maps were stripped"] if mapped else []
        notes += self.source.check(text)
        if self.direction.reads_smiles:
            reason = canonicalize_all([text])[0][1]
            notes += [f"it is not a SMILES ({reason}) and is read as a text"] if reason else []
        count = len(self.source.labels(text)[0])
        if 0 < self.largest < count:
            notes.append(f"it is larger than any source of the training part ({count} tokens or atoms, {self.largest})")
        return text, notes

    def attention(self, source: str, target: str) -> torch.Tensor:
        """Return how much each written token looked at each token or atom of the source [T, S].

        Raises:
            ValueError: if the decoder has no attention.
        """
        device = next(self.decoder.parameters()).device
        with torch.no_grad():
            memory = self.encoder(self.source.batch([source]).to(device))
            tokens = torch.tensor([[BOS, *self.target.encode(target)]], device=device)
            weights = self.decoder.attention(tokens, memory)[0]
        return weights[:-1, self.source.labels(source)[1]].float().cpu()


def make_target(shape: Shape, tokens: int, encoder: nn.Module, longest: int) -> Decoder:
    """Return the decoder behind an encoder, for so many tokens; a linear attention serves the encoder alone."""
    causal = shape if isinstance(shape, RecurrentShape) else replace(shape, attention="full")
    return make_decoder(causal, tokens, int(encoder.width), 0, longest)  # type: ignore[arg-type]


def draw_example(translator: Translator, source: str, path: Path) -> bool:
    """Draw what each token of the best translation looked at; False if the decoder has no attention to draw."""
    ((best, _), *_), *_ = translator.translate([source], 1)
    if not best:
        return False
    try:
        weights = translator.attention(source, best)
    except ValueError:
        return False
    ours, theirs = translator.source.labels(source)[0], split(best, translator.target.notation)
    if weights.shape != (len(theirs), len(ours)):
        return False  # a hydrogen atom on its own has a position and no token
    draw_attention(weights.numpy(), ours, theirs, path, translator.direction.name.replace("_", " "))
    return True
