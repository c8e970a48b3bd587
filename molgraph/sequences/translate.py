"""A trained translator to candidates: read, search with a beam, write.

run folder -> Translator -> translate -> candidates of each source -> CSV
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from torch import nn

from molgraph.molecules.chemistry import strip_atom_maps
from molgraph.molecules.smiles import InvalidSmiles
from molgraph.sequences.architecture import make_decoder, make_encoder, make_shape
from molgraph.sequences.batch import pad
from molgraph.sequences.corpora import read_rows
from molgraph.sequences.decode import Beam, Greedy, Hypothesis, decode, in_batches
from molgraph.sequences.decoder import Decoder
from molgraph.sequences.metrics import comparable
from molgraph.sequences.pictures import draw_attention
from molgraph.sequences.rnn import RecurrentShape
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


def translate(
    run: Path,
    sources: Sequence[str],
    beam: int = 5,
    inputs: Path | None = None,
    out: Path | None = None,
    picture: Path | None = None,
    console: Console | None = None,
) -> list[dict[str, Any]]:
    """What `molgraph translate` does: candidates of each source; a source that cannot be read keeps its row.

    Args:
        run: run folder of a translator.
        sources: texts; or none with `inputs`.
        beam: candidates for each.
        inputs: CSV file with the column of the sources, or one text a line.
        out: CSV file to write; otherwise a table is printed.
        picture: PNG file for the attention of the first translation.
        console: where to print.

    Returns:
        One row a candidate: source, rank, text, comparable form, log-probability, error.
    """
    console = console or Console()
    translator = Translator.load(run)
    texts = list(sources) or [row[0] for row in read_rows(Path(inputs or ""), (translator.direction.source,))]
    if not texts:
        raise ValueError("there is nothing to translate; give texts, or a file with -i")
    clean, errors = _read_all(translator, texts, console)
    good = [row for row, text in enumerate(clean) if text]
    found = dict(zip(good, translator.translate([clean[row] for row in good], beam), strict=True))
    rows = []
    for row, text in enumerate(texts):
        for rank, (written, log_prob) in enumerate(found.get(row, [("", float("nan"))]), start=1):
            form = comparable(written, translator.direction.writes_smiles) if written else ""
            error = errors.get(row, "" if form else "the candidate is not a SMILES")
            rows.append(
                {"source": text, "rank": rank, "text": written, "canonical": form, "log_prob": log_prob, "error": error}
            )
    _write(rows, out, console)
    if picture is not None and good:
        drawn = draw_example(translator, clean[good[0]], picture)
        console.print(f"attention: {picture}" if drawn else "this model has no attention to draw", highlight=False)
    return rows


def _read_all(translator: Translator, texts: Sequence[str], console: Console) -> tuple[list[str], dict[int, str]]:
    """Cleaned sources (empty where one cannot be read) and the errors by row."""
    clean, errors = [], {}
    for row, text in enumerate(texts):
        try:
            source, notes = translator.read_source(text)
            translator._encoded(source, row)
            clean.append(source)
        except ValueError as error:
            clean.append("")
            errors[row], notes = str(error), [str(error)]
        for note in notes:
            console.print(f"row {row} ({text[:60]!r}): {note}", highlight=False, soft_wrap=True)
    return clean, errors


def _write(rows: Sequence[dict[str, Any]], out: Path | None, console: Console) -> None:
    if out is None:
        for row in rows:
            text = row["canonical"] or f"{row['text']} ({row['error']})"
            console.print(
                f"{row['rank']:>3}  {row['log_prob']:8.3f}  {text}", highlight=False, markup=False, soft_wrap=True
            )
        return
    with open(out, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    console.print(f"translations: [bold]{out}[/]", highlight=False, soft_wrap=True)
