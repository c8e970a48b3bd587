"""The command line: ``words -> parse -> verb``; ``train`` is Hydra's, the others argparse's."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from molgraph.molecules import commands as molecules
from molgraph.particles import commands as particles
from molgraph.sequences import commands as sequences

TRAIN_HELP = "train a model: molgraph train data=esol model=dmpnn trainer.epochs=30 (see molgraph train --help)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code, which says whether all rows have an answer.

    A user's mistake ends with one line on stderr and exit code 2, a diverged training with 1.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["train"] or "COMP_LINE" in os.environ:
            _train(words[1:])
            return 0
        parser = build_parser()
        options = parser.parse_args(words)
        if vars(options).get("trust"):
            from molgraph.training.plugins import trust

            trust(name for name in options.trust if name)
        outputs = vars(options).get("output") or vars(options).get("out") or []
        for output in outputs if isinstance(outputs, list) else [outputs]:
            Path(output).parent.mkdir(parents=True, exist_ok=True)  # before the work, not after it
        return int(options.run_verb(options) or 0)
    except (ValueError, ModuleNotFoundError) as error:
        print(f"molgraph: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()  # the reader, such as `head`, has seen enough
            return 0
        print(f"molgraph: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(2)
    except RuntimeError as error:
        if type(error).__name__ != "TrainingDiverged":  # named, so that a line of help loads no PyTorch
            raise
        print(f"molgraph: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("molgraph: interrupted; `molgraph resume RUN` goes on with a training", file=sys.stderr)
        sys.exit(130)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all verbs but ``train``."""
    parser = argparse.ArgumentParser(prog="molgraph", description="Graph learning for chemistry and physics.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verbs.add_parser("train", help=TRAIN_HELP)
    molecules.add_verbs(verbs)
    particles.add_simulate(verbs)
    particles.add_rollout(verbs)
    sequences.add_generate(verbs)
    sequences.add_translate(verbs)
    compare = verbs.add_parser("compare", help="compare finished runs on one split: molgraph compare RUN RUN ...")
    compare.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders, or the folder of a multirun")
    compare.add_argument("-o", "--output", type=Path, help="folder for comparison.md, .csv and .html (default: none)")
    compare.add_argument("--detect", type=float, metavar="GAP", help="say how many seeds find a difference of GAP")
    compare.add_argument("--logger", help="also send table and picture to: wandb, tensorboard (needs -o)")
    compare.set_defaults(run_verb=_compare)
    _add_explain(verbs)
    resume = verbs.add_parser("resume", help="finish an interrupted training")
    resume.add_argument("run", type=Path, help="run folder")
    resume.add_argument("--trust", action="append", default=[], metavar="MODULE", help="a plug-in of your own folder")
    resume.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="changes, such as trainer.epochs=100")
    resume.set_defaults(run_verb=_resume)
    return parser


def _add_explain(verbs: Any) -> None:
    parser = verbs.add_parser(
        "explain", help="what a model looked at, drawn onto the molecule: molgraph explain RUN 'CC(=O)O'"
    )
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("smiles", nargs="+", help="SMILES (quote them)")
    parser.add_argument(
        "--by", choices=["attention", "gradient"], help="attention, or gradient x input (default: both, if there are)"
    )
    parser.add_argument("--target", help="name of the target (default: the first)")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help="a plug-in of your own folder")
    parser.add_argument("-o", "--output", type=Path, help="folder to write (default: explanations in the run folder)")
    parser.set_defaults(run_verb=_explain)


def _explain(options: argparse.Namespace) -> None:
    from molgraph.molecules.explain import write_explanations
    from molgraph.molecules.predict import load
    from molgraph.sequences.evaluation.pictures import draw_token_map

    run = options.run if options.run.is_dir() else options.run.parent
    folder = options.output or run / "explanations"
    write_explanations(load(options.run), options.smiles, options.by, options.target, folder, draw_token_map)


def _compare(options: argparse.Namespace) -> None:
    from rich.console import Console

    from molgraph.training.comparison.page import show, to_results, write
    from molgraph.training.comparison.power import propose
    from molgraph.training.comparison.runs import compare, expand
    from molgraph.training.loggers import make_loggers

    if options.logger and not options.output:
        raise ValueError("--logger needs -o FOLDER, where the table and the picture lie")
    loggers = make_loggers({"logger": {"kind": options.logger or "csv"}, "label": "comparison"}, options.output)
    folders = expand(options.runs)
    monitor, rows = compare(folders)
    console = Console()
    show(console, monitor, rows)
    for line in propose(monitor, rows, options.detect) if options.detect is not None else ():
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if options.output:
        paths = write(options.output, monitor, rows, f"Comparison of {len(folders)} runs")
        console.print("written: " + ", ".join(map(str, paths)), highlight=False, markup=False, soft_wrap=True)
        for logger in loggers:
            logger.report({"monitor": monitor, "models": to_results(rows)}, options.output)
            logger.close()


def _resume(options: argparse.Namespace) -> None:
    from omegaconf import OmegaConf

    from molgraph.training.run import resume

    changes = {}
    for change in options.changes:
        key, equals, _ = change.partition("=")
        if not equals:
            raise ValueError(f"{change!r} is no change; write KEY=VALUE, such as trainer.epochs=100")
        # As `molgraph train` reads it: plain YAML takes 1e-3 for a text.
        value = OmegaConf.select(OmegaConf.from_dotlist([change]), key)
        changes[key] = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    resume(options.run, changes)


def _train(overrides: list[str]) -> None:
    import hydra
    from hydra.core.config_store import ConfigStore
    from omegaconf import DictConfig, OmegaConf

    from molgraph.training.config import CONF, TrainerConfig

    overrides, table = _own_table(overrides)
    overrides = _with_plugins(overrides)
    ConfigStore.instance().store(group="trainer", name="schema", node=TrainerConfig)
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # our own mistakes show where they are; the user's are one line
    if "COMP_LINE" in os.environ:
        os.environ["COMP_LINE"] = os.environ["COMP_LINE"].replace(" train", "", 1)

    mistakes: list[Exception] = []

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="train")
    def run(config: DictConfig) -> float:
        from hydra.core.hydra_config import HydraConfig
        from hydra.types import RunMode

        from molgraph.training.run import train

        plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True, throw_on_missing=True))
        plain["data"] |= table
        folder = Path(HydraConfig.get().runtime.output_dir)
        if (folder / "last.pt").exists():
            raise ValueError(f"{folder} holds a run already; use `molgraph resume {folder}` or another hydra.run.dir")
        plain["label"] = plain["label"] or HydraConfig.get().runtime.choices["model"]
        try:
            return float(train(plain, folder)["score"])
        except (ValueError, ModuleNotFoundError, OSError) as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            mistakes.append(error)  # Hydra would write a line of its own above ours
            return float("nan")

    several = int(os.environ.get("WORLD_SIZE", "1")) > 1  # started by torchrun
    if several:
        from molgraph.training.hardware.distributed import one_folder

        overrides = one_folder(overrides)
    sys.argv = ["molgraph train", *overrides]
    try:
        run()
        if mistakes:
            raise mistakes[0]
    except (hydra.errors.HydraException, hydra.errors.MissingConfigException) as error:
        raise ValueError(_plain(error)) from error
    finally:
        if several:
            from molgraph.training.hardware.distributed import World

            World.leave()


def _own_table(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Take ``FILE --target NAME --smiles NAME`` from the words: no name of a person's ever meets Hydra's grammar.

    Returns:
        What is left for Hydra, and the keys of ``data`` that the file gives.

    Raises:
        ValueError: a file that is not there, or columns that cannot be told.
    """
    if (
        not words
        or (words[0].startswith("-") and words[0] != "-")
        or ("=" in words[0] and not Path(words[0]).is_file())
    ):
        return words, {}
    from rich.console import Console

    from molgraph.molecules.columns import find_columns

    parser = argparse.ArgumentParser(prog="molgraph train FILE", allow_abbrev=False)
    parser.add_argument("file", type=Path)
    parser.add_argument("--target", action="append", default=[], metavar="NAME")
    parser.add_argument("--smiles", metavar="NAME")
    parser.add_argument("--id", metavar="NAME")
    parser.add_argument("--plan", action="store_true")
    options, rest = parser.parse_known_args(words)
    if str(options.file) == "-":
        options.file = _kept_input()
    found = find_columns(options.file, options.smiles, options.target, options.id)
    for note in found.notes:
        Console().print(note, highlight=False, markup=False, soft_wrap=True)
    rest = [*rest, "plan=true"] if options.plan else rest
    return ["data=molecules", *rest], found.settings(options.file, rest, options.id)


def _kept_input() -> Path:
    """Copy standard input to the cache, so that it can be read twice, and by a resumed run; return the file."""
    import hashlib

    from molgraph.training.cache import cache_folder

    content = sys.stdin.buffer.read()
    path = cache_folder() / "stdin" / hashlib.sha256(content).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _with_plugins(overrides: list[str]) -> list[str]:
    """Trust the modules that ``plugins=[...]`` names, and let Hydra see the configuration files of all plug-ins."""
    from molgraph.training.plugins import configurations, trust

    for word in overrides:
        key, _, value = word.partition("=")
        if key == "plugins":
            trust(name.strip() for name in value.strip("[]").split(",") if name.strip())
    folders = ",".join(f"'file://{folder}'" for folder in configurations())
    return [*overrides, f"hydra.searchpath=[{folders}]"] if folders else overrides


def _plain(error: Exception) -> str:
    """Return Hydra's message without its internals, and what to do."""
    text = str(error).split("Config search path")[0].strip()
    if "Could not override" in text or "Key '" in text:
        text = text.replace("To append to your config use +", "to add a new key write +")
        text += "\n`molgraph train --cfg job` shows every key"
    return text
