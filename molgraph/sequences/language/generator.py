"""A trained language model: what it can be asked for, and the molecules that it writes.

run folder -> Generator -> decode in batches -> texts and their log-likelihoods
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml

from molgraph.sequences.decoding.decode import Hypothesis, check_exhaustive, decode, exhaustive, in_batches
from molgraph.sequences.decoding.strategies import Beam, Sampling
from molgraph.sequences.layers.architecture import make_decoder, make_shape
from molgraph.sequences.layers.decoder import Decoder
from molgraph.sequences.text.tokenizer import UNK, Vocabulary, split
from molgraph.training.checkpoint import load_checkpoint
from molgraph.training.hardware.precision import choose_device


@dataclass(frozen=True)
class Condition:
    """A property that the model was trained to be asked for."""

    name: str
    """Of a property or a column."""
    mean: float
    """Over the training part."""
    std: float
    """Over the training part."""
    low: float
    """Lowest value in the training part."""
    high: float
    """Highest value in the training part."""

    @classmethod
    def of(cls, name: str, values: np.ndarray) -> "Condition":
        """Return the measured on the training part [rows]."""
        spread = float(values.std())
        return cls(name, float(values.mean()), spread if spread > 0 else 1.0, float(values.min()), float(values.max()))

    def standardize(self, values: np.ndarray) -> np.ndarray:
        """Return to mean 0 and spread 1."""
        return (values - self.mean) / self.std


@dataclass(frozen=True)
class Choosing:
    """How molecules are chosen."""

    temperature: float = 1.0
    """1 samples from the model."""
    top_k: int = 0
    """Keep the k most probable tokens; 0 keeps all."""
    top_p: float = 1.0
    """Keep the most probable tokens that together reach p."""
    beam: int = 0
    """Take the most probable molecules that a beam of this width finds, instead of samples."""
    start: str = ""
    """What each molecule begins with."""
    seed: int = 0
    """Of the samples."""
    batch_size: int = 512
    """Molecules at a time; halved when memory runs out."""
    exhaustive: int = 0
    """Take the most probable of all sequences of so many tokens at most, ``<eos>`` included, instead of samples."""


@dataclass(frozen=True)
class Generator:
    """A trained language model."""

    decoder: Decoder
    """In evaluation mode."""
    vocabulary: Vocabulary
    """Of the training part."""
    conditions: tuple[Condition, ...]
    """What it can be asked for."""
    longest: int
    """Tokens at most."""
    folder: Path
    """Run folder, with what was kept for comparison."""

    @classmethod
    def load(cls, run: Path, device: str = "auto") -> "Generator":
        """Load the best weights of a run.

        Raises:
            ValueError: if it is no run of a language model.
        """
        content = load_checkpoint(Path(run) / "best.pt")
        state, config = yaml.safe_load(content["state"]), yaml.safe_load(content["config"])
        if state.get("task") != "language":
            raise ValueError(f"{run} is not a run of task=language or task=conditional; only those generate")
        vocabulary = Vocabulary.restore(state["vocabulary"])
        conditions = tuple(Condition(**values) for values in state["conditions"])
        shape = make_shape(config["model"]["shape"])
        decoder = make_decoder(shape, len(vocabulary), 0, len(conditions), state["longest"])
        weights = {name.removeprefix("decoder."): tensor for name, tensor in content["task"].items()}
        decoder.load_state_dict(weights)
        return cls(decoder.to(choose_device(device)).eval(), vocabulary, conditions, state["longest"], Path(run))

    def write(
        self, count: int, choosing: Choosing | None = None, wanted: np.ndarray | None = None
    ) -> list[tuple[str, float]]:
        """Write molecules.

        Args:
            count: how many.
            choosing: how.
            wanted: asked-for values [count, C] or [1, C]; needed if the model was trained for conditions.

        Returns:
            Texts and their log-likelihoods; as many as asked for, a beam at most as many as it is wide.

        Raises:
            ValueError: if the start has unknown tokens or is too long, or the count or the wanted values do not fit.
        """
        choosing = choosing or Choosing()
        if count < 1:
            raise ValueError(f"{count} molecules are asked for; ask for at least 1")
        prompt = self._prompt(choosing.start)
        device = next(self.decoder.parameters()).device
        condition = self._condition(wanted, count)
        if choosing.exhaustive:
            found = self._all(choosing, condition)[:count]
            return [(self.vocabulary.decode(h.tokens), h.log_prob) for h in found]
        rows, width = (1, choosing.beam) if choosing.beam else (count, 1)
        sampling = Sampling(choosing.temperature, choosing.top_k, choosing.top_p, choosing.seed, device)
        strategy = Beam(width) if choosing.beam else sampling

        def run(start: int, stop: int) -> list[list[Hypothesis]]:
            part = None if condition is None else condition[start:stop].to(device)
            limit = self.longest - 1 - len(prompt)
            return decode(self.decoder, strategy, stop - start, limit, condition=part, prompt=prompt)

        hypotheses = [h for row in in_batches(run, rows, choosing.batch_size) for h in row][:count]
        return [(self.vocabulary.decode([*prompt, *h.tokens]), h.log_prob) for h in hypotheses]

    def _all(self, choosing: Choosing, condition: torch.Tensor | None) -> list[Hypothesis]:
        if choosing.start or choosing.beam:
            raise ValueError("--exhaustive goes through all sequences; give it without --start and --beam")
        check_exhaustive(len(self.vocabulary), choosing.exhaustive)
        asked = None if condition is None else condition[:1].to(next(self.decoder.parameters()).device)
        return exhaustive(self.decoder, choosing.exhaustive, condition=asked)

    def _prompt(self, start: str) -> list[int]:
        prompt = self.vocabulary.encode(start)
        if UNK in prompt:
            tokens = split(start, self.vocabulary.notation)
            strange = [token for token, number in zip(tokens, prompt, strict=True) if number == UNK]
            raise ValueError(f"start {start!r} has tokens that were not in the training part: {', '.join(strange)}")
        if len(prompt) > self.longest - 2:
            raise ValueError(f"start {start!r} has {len(prompt)} tokens; the model writes at most {self.longest - 2}")
        return prompt

    def _condition(self, wanted: np.ndarray | None, count: int) -> torch.Tensor | None:
        if wanted is None and not self.conditions:
            return None
        names = ", ".join(condition.name for condition in self.conditions) or "nothing"
        if wanted is None or wanted.shape[1] != len(self.conditions):
            raise ValueError(f"this model can be asked for {names}; give a value for it with --want name=value")
        columns = zip(self.conditions, wanted.T, strict=True)
        standard = np.stack([condition.standardize(values) for condition, values in columns], axis=1)
        return torch.from_numpy(np.broadcast_to(standard, (count, standard.shape[1])).copy()).float()

    def wanted(self, asked: dict[str, float]) -> tuple[np.ndarray, list[str]]:
        """Return asked-for values [1, C], and notes on them: a value that is not given is the training mean.

        Raises:
            ValueError: if the model cannot be asked for it, or no training molecule comes near the value.
        """
        names = [condition.name for condition in self.conditions]
        unknown = sorted(set(asked) - set(names))
        if unknown:
            raise ValueError(
                f"this model cannot be asked for {', '.join(unknown)}; it knows {', '.join(names) or 'nothing'}"
            )
        for condition in self.conditions:
            value = asked.get(condition.name, condition.mean)
            if not condition.low <= value <= condition.high:
                reach = f"from {condition.low:.3g} to {condition.high:.3g}"
                raise ValueError(
                    f"{condition.name}={value:g} cannot be reached: the training molecules go {reach}; ask within that"
                )
        missing = [c for c in self.conditions if c.name not in asked]
        notes = [f"{c.name} is not asked for; the training mean {c.mean:.3g} is taken" for c in missing]
        return np.array([[asked.get(c.name, c.mean) for c in self.conditions]]), notes

    def known(self) -> np.ndarray | None:
        """Return keys of the training molecules, if they were kept."""
        path = self.folder / "known.npy"
        return np.load(path) if path.exists() else None

    def reference(self) -> list[str]:
        """Return the held-out molecules, if they were kept."""
        path = self.folder / "reference.smi"
        return path.read_text().split() if path.exists() else []
