"""The verbs as functions: ``table -> train -> TrainedModel``, ``compare``, ``explain``, ``embed``; the home of Hydra.

What a person types behind ``molgraph train`` and what a program gives to :func:`train` become a configuration here.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray
from omegaconf import OmegaConf
from rich.console import Console

from molgraph.molecules.columns import find_columns
from molgraph.molecules.explain import write_explanations
from molgraph.molecules.frames import is_frame, text_of_molecule
from molgraph.molecules.predict import TrainedModel, load
from molgraph.sequences.evaluation.pictures import draw_token_map
from molgraph.training.config import CONF, TrainerConfig, with_values
from molgraph.training.run import train as train_config


def configuration(overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return what ``molgraph train OVERRIDES`` resolves to.

    Raises:
        ValueError: an override that Hydra does not take.
    """
    import hydra
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(group="trainer", name="schema", node=TrainerConfig)
    try:
        with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
            config = hydra.compose("train", list(overrides), return_hydra_config=True)
    except hydra.errors.HydraException as error:
        raise ValueError(str(error).splitlines()[0]) from error
    chosen = config.hydra.runtime.choices["model"]
    plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    content = cast(dict[str, Any], OmegaConf.to_container(plain, resolve=True, throw_on_missing=True))
    return content | {"label": content["label"] or chosen}


def train(
    table: Any,
    folder: str | Path | None = None,
    console: Console | None = None,
    *,
    target: str | Sequence[str] = (),
    smiles: str | None = None,
    overrides: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
) -> Any:
    """Train a model of a table of molecules, as ``molgraph train FILE`` does.

    Args:
        table: path of a table or a pandas ``DataFrame``. (A whole configuration, as `config.yaml` of a run holds it,
            trains that run.)
        folder: run folder; by default a new one in ``runs``.
        console: where to print.
        target: column or columns to predict; found where only one can be meant.
        smiles: column with the molecules; found by default.
        overrides: as on the command line, for example ``["model=gcn", "trainer.epochs=20"]``.
        settings: dotted keys with values of any kind, for example ``{"data.transform": "p"}``.

    Returns:
        The trained model; for a configuration the content of ``results.json``.

    Raises:
        ValueError: a table, a column or a key that is wrong.

    >>> model = train("assay.csv", target="IC50 [nM]")  # doctest: +SKIP
    >>> model.predict(["CCO", "CCN"], as_frame=True)  # doctest: +SKIP
    """
    if isinstance(table, dict):
        if folder is None:
            raise ValueError("a configuration needs a folder: train(config, folder)")
        return train_config(table, folder, console)
    folder = Path(folder or Path("runs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S.%f}")
    if (folder / "last.pt").exists():
        raise ValueError(f"{folder} holds a run already; use molgraph.resume({str(folder)!r}) or another folder")
    path = _stored(table, folder) if is_frame(table) else Path(table)
    found = find_columns(path, smiles, [target] if isinstance(target, str) else list(target))
    config = configuration(["data=molecules", *overrides])
    config["data"] |= found.settings(path, overrides)
    config = with_values(config, dict(settings or {}))
    train_config(config, folder, console)
    return load(folder)


def _stored(frame: Any, folder: Path) -> Path:
    """Keep a DataFrame in the run folder, so that the run can be repeated and resumed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "table.csv"
    frame.map(lambda value: text_of_molecule(value) if hasattr(value, "GetNumAtoms") else value).to_csv(
        path, index=False
    )
    return path


def compare(runs: Sequence[str | Path]) -> list[dict[str, Any]]:
    """Compare finished runs on one split, as ``molgraph compare`` does; one row a model, the best first.

    Args:
        runs: run folders, or the folder of a multirun.

    Raises:
        ValueError: runs that cannot be compared.
    """
    from dataclasses import asdict

    from molgraph.training.comparison.runs import compare as compare_runs
    from molgraph.training.comparison.runs import expand

    monitor, rows = compare_runs(expand([Path(run) for run in runs]))
    return [asdict(row) | {"monitor": monitor} for row in rows]


def explain(
    run: str | Path | TrainedModel, molecules: str | Sequence[str], folder: str | Path, target: str | None = None
) -> Path:
    """Draw what a model looked at in molecules, as ``molgraph explain`` does; return the folder with the pictures.

    Args:
        run: run folder or loaded model.
        molecules: SMILES.
        folder: where to write.
        target: name of a target; by default the first.

    Raises:
        ValueError: a text that is no molecule, or an unknown target.
    """
    model = run if isinstance(run, TrainedModel) else load(run)
    texts = [molecules] if isinstance(molecules, str) else list(molecules)
    write_explanations(model, texts, None, target, Path(folder), draw_token_map)
    return Path(folder)


def embed(run: str | Path | TrainedModel, molecules: Any) -> NDArray[Any]:
    """Return the learned fingerprint of each molecule ``[M, F]``; a row that cannot be read is NaN.

    Args:
        run: run folder or loaded model.
        molecules: a SMILES or ``Mol``, or a list or Series of them.

    Raises:
        ValueError: the model has no learned fingerprint.
    """
    model = run if isinstance(run, TrainedModel) else load(run)
    single = isinstance(molecules, str) or hasattr(molecules, "GetNumAtoms")
    return model.embed([text_of_molecule(molecule) for molecule in ([molecules] if single else molecules)])
