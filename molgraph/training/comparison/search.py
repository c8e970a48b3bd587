"""Declared search spaces to settings: ``space -> ask -> {"trainer.optimizer.learning_rate": 0.002} -> tell(score)``.

A space names keys of the configuration. Each is ``{low, high}`` (with ``log: true`` where the factor matters) or
``{choices: [...]}``.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

Settings = dict[str, Any]


@dataclass(frozen=True)
class Range:
    """The values that one key may take.

    Attributes:
        low: smallest number.
        high: largest number.
        log: draw the logarithm evenly.
        choices: the values themselves, in place of numbers.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    @classmethod
    def read(cls, key: str, node: Any) -> "Range":
        """Return the range that a configuration node describes.

        Raises:
            ValueError: the node describes none.
        """
        try:
            made = cls(**(dict(node) | {"choices": tuple(node.get("choices", ()))}))
        except (TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"the search over {key} is {node!r}; write {{low, high}} or {{choices}}") from error
        if not made.choices and (made.low is None or made.high is None or made.low > made.high):
            raise ValueError(f"the search over {key} needs low <= high, or choices; it is {node!r}")
        if made.log and (made.low or 0) <= 0:
            raise ValueError(f"the search over {key} is logarithmic and needs low > 0; it is {node!r}")
        return made

    def draw(self, generator: np.random.Generator) -> Any:
        """Return a random value."""
        if self.choices:
            return self.choices[int(generator.integers(len(self.choices)))]
        low, high = float(self.low or 0), float(self.high or 0)
        if self.log:
            return math.exp(generator.uniform(math.log(low), math.log(high)))
        return generator.uniform(low, high)


REDRAWS = 100
"""Attempts to draw settings that were not tried yet."""


class Sampler(ABC):
    """Proposes settings; the first trial is always the model as it is configured, and none is tried twice.

    Args:
        space: keys of the configuration, and the range of each.
        start: value of each key as it is configured.
        seed: repeats the proposals.
        mode: ``min`` or ``max``, which way a score is better.
    """

    def __init__(self, space: dict[str, Any], start: Settings, seed: int, mode: str) -> None:
        self.space = {key: Range.read(key, node) for key, node in space.items()}
        self.start, self.seed, self.mode = start, seed, mode
        self.asked: list[Settings] = []

    def ask(self) -> Settings:
        """Return the settings of the next trial; a small space repeats itself once it is used up."""
        settings = self.propose() if self.asked else dict(self.start)
        for _ in range(REDRAWS):
            if settings not in self.asked:
                break
            settings = self.propose()
        self.asked.append(settings)
        return settings

    @abstractmethod
    def propose(self) -> Settings:
        """Return new settings, a value for each key of the space."""

    def tell(self, settings: Settings, score: float) -> None:
        """Learn how good settings were; random search does not."""
        del settings, score


class RandomSampler(Sampler):
    """Random search (Bergstra & Bengio 2012)."""

    def __init__(self, space: dict[str, Any], start: Settings, seed: int, mode: str) -> None:
        super().__init__(space, start, seed, mode)
        self.generator = np.random.default_rng(seed)

    def propose(self) -> Settings:
        """Return a random point."""
        return {key: allowed.draw(self.generator) for key, allowed in self.space.items()}


class TreeSampler(Sampler):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), by Optuna.

    Raises:
        ModuleNotFoundError: Optuna is not installed.
    """

    def __init__(self, space: dict[str, Any], start: Settings, seed: int, mode: str) -> None:
        super().__init__(space, start, seed, mode)
        try:
            import optuna
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "sampler=tpe needs Optuna: pip install 'molgraph[search]', or use task.budget.sampler=random"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        chooser = optuna.samplers.TPESampler(seed=seed, n_startup_trials=3)
        self.optuna = optuna
        self.study = optuna.create_study(direction="minimize" if mode == "min" else "maximize", sampler=chooser)
        self.distributions = {key: self._distribution(allowed) for key, allowed in self.space.items()}
        self.open: Any = None

    def _distribution(self, allowed: Range) -> Any:
        kinds = self.optuna.distributions
        if allowed.choices:
            return kinds.CategoricalDistribution(allowed.choices)
        return kinds.FloatDistribution(float(allowed.low or 0), float(allowed.high or 0), allowed.log)

    def propose(self) -> Settings:
        """Return the point that the earlier scores make the most promising."""
        self.open = self.study.ask(self.distributions)
        return dict(self.open.params)

    def tell(self, settings: Settings, score: float) -> None:
        """Learn how good the last proposal was; the configured model lies outside the space and teaches nothing."""
        if self.open is not None:
            self.study.tell(self.open, score)
            self.open = None


SAMPLERS: dict[str, type[Sampler]] = {"random": RandomSampler, "tpe": TreeSampler}


def sampler(kind: str, space: dict[str, Any], start: Settings, seed: int, mode: str) -> Sampler:
    """Return the sampler called ``random`` or ``tpe``.

    Raises:
        ValueError: another name, or a space that cannot be read.
        ModuleNotFoundError: ``tpe`` without Optuna.
    """
    if kind not in SAMPLERS:
        raise ValueError(f"task.budget.sampler={kind!r} is unknown; use {' or '.join(SAMPLERS)}")
    return SAMPLERS[kind](space, start, seed, mode)
