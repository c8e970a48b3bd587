"""Configuration values: the trainer's dataclasses, and ``{"_target_": "molgraph...", ...} -> object``."""

import copy
import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from molgraph.training.plugins import find

CONF = next(path for path in (Path(__file__).parents[1] / "conf", Path(__file__).parents[2] / "conf") if path.is_dir())
"""The folder of configuration files: inside the package in a wheel, beside it in a clone or an editable install."""


OPTIMIZERS = ("adamw", "muon")
PRECISIONS = ("auto", "float32", "bf16", "fastest")
STEPS = ("eager", "compiled", "captured")


@dataclass
class OptimizerConfig:
    """AdamW or Muon, with linear warm-up and cosine decay.

    Attributes:
        name: ``adamw``, or ``muon``: orthogonalized momentum for the matrices of hidden layers, AdamW for the rest.
        learning_rate: peak learning rate.
        final_learning_rate: learning rate at the last step, as a fraction of the peak.
        weight_decay: decoupled weight decay, on matrices only (not on biases, norms and scalars).
        warmup: fraction of all steps in which the learning rate grows linearly.
        clip: largest global gradient norm; 0 turns clipping off.
    """

    name: str = "adamw"
    learning_rate: float = 1e-3
    final_learning_rate: float = 0.01
    weight_decay: float = 1e-5
    warmup: float = 0.05
    clip: float = 1.0

    def __post_init__(self) -> None:
        _check_choice("trainer.optimizer.name", self.name, OPTIMIZERS)


@dataclass
class TrainerConfig:
    """How long, how precisely and on what the trainer runs.

    Attributes:
        epochs: passes over the training data.
        max_steps: stop after that many optimizer steps, even within an epoch (``null``: no limit); a large set needs
            fewer passes.
        patience: stop after that many epochs without a better validation metric (``null``: never).
        evaluate_every: epochs between two validations.
        ema: decay of the exponential moving average of the weights that is validated and saved (0: off).
        precision: ``float32``, ``bf16`` (autocast), ``auto`` (float32 by the fastest matmul that is as accurate) or
            ``fastest`` (``bf16`` where that is faster on this machine, elsewhere ``auto``).
        step: ``eager``, ``compiled`` (torch.compile) or ``captured`` (a CUDA graph; needs a GPU).
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.
        threads: CPU threads of PyTorch (``null``: PyTorch's own choice).
        diagnose: log what the model says of its gradients after each validation (a recurrent one: through time).
        checkpoint_every: optimizer steps between two writes of ``last.pt``, which is also written after each epoch.
        optimizer: the optimizer's own values.
    """

    epochs: int = 50
    max_steps: int | None = 4000
    patience: int | None = None
    evaluate_every: int = 1
    ema: float = 0.0
    precision: str = "auto"
    step: str = "eager"
    device: str = "auto"
    threads: int | None = None
    diagnose: bool = False
    checkpoint_every: int = 200
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        _check_choice("trainer.precision", self.precision, PRECISIONS)
        _check_choice("trainer.step", self.step, STEPS)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainerConfig":
        """Build the dataclasses from plain values.

        Raises:
            TypeError: an unknown key.
            ValueError: an unknown precision, step or optimizer.
        """
        values = dict(values)
        optimizer = OptimizerConfig(**values.pop("optimizer", {}))
        return cls(optimizer=optimizer, **values)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown; use {', '.join(choices)}")


def locate(target: str) -> Any:
    """Return what the dotted name ``target`` names; see :func:`~molgraph.training.plugins.find`.

    Raises:
        ValueError: it is not molgraph's nor a known plug-in's, or it does not exist.
    """
    return find(target)


def instantiate(node: dict[str, Any], **extra: Any) -> Any:
    """Call what ``node["_target_"]`` names with the other keys of ``node`` and ``extra``.

    Raises:
        ValueError: as :func:`checked_target`.
    """
    target = checked_target(node, **extra)
    return target(**{key: value for key, value in node.items() if key != "_target_"} | extra)


def checked_target(node: dict[str, Any], **extra: Any) -> Any:
    """Return what ``node["_target_"]`` names, if it can be called with the other keys of ``node`` and ``extra``.

    Raises:
        ValueError: unknown target, a key that the target does not take (the message lists those that it takes), or a
            value of the wrong kind.
    """
    if "_target_" not in node:
        raise ValueError(
            f"a part of the configuration has no _target_ and does not fit this task; it holds {', '.join(node)}"
        )
    target = locate(node["_target_"])
    values = {key: value for key, value in node.items() if key != "_target_"}
    known, takes_any = parameters(target)
    unknown = sorted(set(values | extra) - set(known))
    if unknown and not takes_any:
        raise ValueError(f"{node['_target_']} does not take {', '.join(unknown)}; it takes {', '.join(known)}")
    _check_kinds(node["_target_"], known, values)
    return target


KINDS: dict[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}
"""What may be given where a parameter is annotated so."""


def _check_kinds(name: str, known: dict[str, Any], values: dict[str, Any]) -> None:
    for key, value in values.items():
        annotation = known.get(key)
        kind = getattr(annotation, "__name__", annotation)  # a string where annotations are postponed
        # True is an int to Python, and a mistake here
        if kind in KINDS and (not isinstance(value, KINDS[kind]) or isinstance(value, bool) != (kind == "bool")):
            raise ValueError(f"{name}: {key} has to be of type {kind}, not {value!r}")


def parameters(target: Any) -> tuple[dict[str, Any], bool]:
    """Return the annotations of the names that ``target`` takes, and whether it takes any other name as well.

    A class whose ``**options`` go on to its base class takes what that one takes.
    """
    kinds = inspect.getmro(target)[:-1] if inspect.isclass(target) else ()
    known: dict[str, Any] = {}
    for function in [vars(kind)["__init__"] for kind in kinds if "__init__" in vars(kind)] or [target]:
        own = inspect.signature(function).parameters.values()
        named = [p for p in own if p.name != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        known |= {p.name: p.annotation for p in named if p.name not in known}
        if not any(p.kind is p.VAR_KEYWORD for p in own):
            return known, False
    return known, True


def defaults(target: Any) -> dict[str, Any]:
    """Return what ``target`` takes for each name that it is not given, as :func:`parameters` finds the names."""
    kinds = inspect.getmro(target)[:-1] if inspect.isclass(target) else ()
    found: dict[str, Any] = {}
    for function in [vars(kind)["__init__"] for kind in kinds if "__init__" in vars(kind)] or [target]:
        own = inspect.signature(function).parameters.values()
        found = {p.name: p.default for p in own if p.default is not p.empty} | found
        if not any(p.kind is p.VAR_KEYWORD for p in own):
            break
    return found


def check_keys(name: str, target: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` if ``target`` takes all of them.

    Raises:
        ValueError: a key that it does not take (the message lists those that it takes), or a value of the wrong kind.
    """
    known, takes_any = parameters(target)
    unknown = [key for key in values if key not in known]
    if unknown and not takes_any:
        raise ValueError(f"{name} has no key {unknown[0]!r}; it has {', '.join(known)}")
    _check_kinds(name, known, values)
    return values


def require(holds: bool, name: str, value: Any, what: str) -> None:
    """Refuse a setting.

    Raises:
        ValueError: it does not hold; says the ``name`` of the setting, its value, and ``what`` it has to be.
    """
    if not holds:
        raise ValueError(f"{name} is {value!r}; it has to be {what}")


def with_values(config: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of ``config`` with new values under dotted keys, such as ``{"trainer.epochs": 100}``.

    Raises:
        ValueError: a key that the configuration does not have.
    """
    changed = copy.deepcopy(config)
    for key, value in changes.items():
        value_at(changed, key)
        parent, _, last = key.rpartition(".")
        (value_at(changed, parent) if parent else changed)[last] = value
    return changed


def value_at(config: dict[str, Any], key: str) -> Any:
    """Return the value under a dotted key.

    Raises:
        ValueError: a key that the configuration does not have.
    """
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            raise ValueError(f"the configuration has no key {key}, and only what is there can be changed")
        node = node[part]
    return node


def read_config(run: Path) -> dict[str, Any]:
    """Return the resolved configuration of a run folder.

    Raises:
        ValueError: the folder is not there or is no run folder.
    """
    path = Path(run) / "config.yaml"
    if not path.is_file():
        raise ValueError(
            f"{run} is not a run folder (it has no config.yaml); give the folder that `molgraph train` printed"
        )
    try:
        config = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML file ({str(error).splitlines()[0]}); take it from a copy") from error
    if not isinstance(config, dict) or not config:
        raise ValueError(f"{path} holds no configuration of a run but {config!r:.60}; `molgraph train` writes it")
    return config
