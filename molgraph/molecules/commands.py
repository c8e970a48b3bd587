"""The verbs of the molecules room: ``predict``, ``evaluate`` and ``data``."""

import argparse
import sys
from pathlib import Path
from typing import Any


def add_verbs(verbs: Any) -> None:
    """Add this room's verbs to the command line; importing it loads neither PyTorch nor RDKit."""
    _add_predict(verbs)
    _add_evaluate(verbs)
    data = verbs.add_parser("data", help="list the named data sets with targets, units, reference and licence")
    data.set_defaults(run_verb=_data)


def _add_predict(verbs: Any) -> None:
    parser = verbs.add_parser(
        "predict",
        help="predict properties of molecules: molgraph predict RUN 'CC(=O)O', or RUN -i in.csv -o out.csv",
    )
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("smiles", nargs="*", help="SMILES (quote them)")
    parser.add_argument("-i", "--input", type=Path, help="table with molecules (CSV, TSV, ...; - is standard input)")
    parser.add_argument("-o", "--output", type=Path, help="table to write; by default the table is printed")
    parser.add_argument("--smiles-column", default="smiles", help="column with the molecules (default: smiles)")
    parser.add_argument("--delimiter", help="what separates the cells (default: found)")
    parser.add_argument("--workers", type=int, help="processes that read molecules (default: one for each core)")
    parser.add_argument(
        "--coverage", type=float, metavar="SHARE", help="add T_low and T_high: an interval, such as 0.9"
    )
    parser.add_argument("--domain", action="store_true", help="add whether a molecule is inside of what was learned")
    parser.add_argument("--nearest", type=int, default=0, metavar="N", help="add the nearest training molecules")
    parser.add_argument("--resume", action="store_true", help="go on behind the rows of OUTPUT.part")
    parser.add_argument("--embedding", action="store_true", help="write the learned fingerprint in place of values")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--trust",
        action="append",
        nargs="?",
        const="",
        default=[],
        metavar="MODULE",
        help="alone: coverage 0.9, domain and 3 nearest; with a name: a plug-in of your own folder",
    )
    parser.set_defaults(run_verb=_predict)


def _add_evaluate(verbs: Any) -> None:
    parser = verbs.add_parser("evaluate", help="measure a trained model on a table with known values")
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("-i", "--input", type=Path, required=True, help="table with molecules and measured targets")
    parser.add_argument("--smiles-column", default="smiles", help="column with the molecules (default: smiles)")
    parser.add_argument("--delimiter", help="what separates the cells (default: found)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--trust", action="append", default=[], metavar="MODULE", help="a plug-in of your own folder")
    parser.set_defaults(run_verb=_evaluate)


ROWS_FAILED = 3
"""Exit code of a prediction in which rows have a reason in place of a value."""


def _predict(options: argparse.Namespace) -> int:
    if bool(options.smiles) == bool(options.input):
        raise ValueError("give SMILES, or a file with -i, and not both: molgraph predict RUN 'CCO'")
    if options.input and options.output and options.output.resolve() == options.input.resolve():
        raise ValueError(f"{options.output} is the input itself; choose another file for -o")
    from molgraph.molecules.predict import TrainedModel

    model = TrainedModel(options.run, options.device)
    all_of_it = "" in options.trust  # --trust alone
    coverage = options.coverage or (0.9 if all_of_it and model.state["kind"] == "regression" else None)
    model.ask(coverage, options.domain or all_of_it, options.nearest or 3 * all_of_it)
    if options.embedding:
        failed = _write_embedding(model, options)
    elif options.smiles and options.output:
        failed = _write_predictions(model, options.smiles, options.output)
    elif options.smiles:
        failed = _print_predictions(model, options.smiles)
    else:
        failed = _predict_file(model, options)
    return ROWS_FAILED if failed else 0


def _write_embedding(model: Any, options: argparse.Namespace) -> int:
    """Write the learned fingerprint beside the columns of the input, chunk by chunk."""
    from molgraph.molecules.files import embed_file, embed_texts

    if options.input:
        return embed_file(model, options.input, options.output, options.smiles_column, options.delimiter)
    return embed_texts(model, options.smiles, options.output)


def _write_predictions(model: Any, smiles: list[str], output: Path) -> int:
    from molgraph.molecules.tables import open_writer

    numbers = dict.fromkeys(model.number_columns(), "double")
    predictions = model.predict_texts(smiles)
    with open_writer(output, ["smiles", *model.columns()], types=numbers) as writer:
        for prediction in predictions:
            writer.write([prediction.smiles, *model.cells(prediction)])
    print(f"{len(smiles):,} rows, written to {output}", file=sys.stderr)
    return sum(bool(prediction.error) for prediction in predictions)


def _print_predictions(model: Any, smiles: list[str]) -> int:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    predictions = model.predict_texts(smiles)
    table = Table()
    table.add_column("SMILES", overflow="fold")
    titles = model.columns()[:-1]
    if not model.classes:
        named = [f"{name} [{unit}]" if unit else name for name, unit in zip(model.names, model.units, strict=True)]
        titles[: len(named)] = named
    for title in (title.removesuffix("_predicted").replace("_spread", " spread") for title in titles):
        table.add_column(escape(title.replace("unknown_tokens", "unknown tokens")), justify="right", overflow="fold")
    if any(prediction.error for prediction in predictions):
        table.add_column("error", style="red", overflow="fold")
    for prediction in predictions:
        cells = model.cells(prediction)
        table.add_row(escape(prediction.smiles), *map(escape, cells if len(table.columns) > len(cells) else cells[:-1]))
    Console().print(table)
    return sum(bool(prediction.error) for prediction in predictions)


def _predict_file(model: Any, options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from molgraph.molecules.files import predict_file

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} molecules"), TimeElapsedColumn())
    done = failed = 0
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        for prediction in predict_file(
            model,
            options.input,
            options.output,
            options.smiles_column,
            options.delimiter,
            options.workers,
            options.resume,
        ):
            done, failed = done + 1, failed + bool(prediction.error)
            if done % 100 == 0:
                progress.update(task, completed=done)
    text = f"{done:,} rows, {failed:,} without a prediction (see the column `error`)" if failed else f"{done:,} rows"
    console.print(text + (f", written to {options.output}" if options.output else ""), highlight=False, markup=False)
    return failed


def _evaluate(options: argparse.Namespace) -> None:
    from molgraph.molecules.evaluate import evaluate_file
    from molgraph.molecules.predict import load

    evaluate_file(load(options.run, options.device), options.input, options.smiles_column, options.delimiter)


def _data(options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.markup import escape

    from molgraph.molecules.reading.catalog import DATA_SETS, SHIPPED

    console = Console(highlight=False, soft_wrap=True)
    for data_set in DATA_SETS.values():
        if (SHIPPED / data_set.file).exists():
            where = "in the package"
        else:
            where = "fetched on first use" if data_set.download else "read from the package qm9pack"
            where += ", or found in MOLGRAPH_DATA"
        judged = f"{data_set.kind}, judged by {data_set.metric.upper()}"
        console.print(f"[bold]data={data_set.name}[/]  {data_set.molecules:,} molecules, {judged}, {where}")
        for target in data_set.targets:
            unit = f" [{target.unit}]" if target.unit else ""
            console.print(f"    {escape(target.name + unit)}  [dim]{escape(target.meaning)}[/]")
        console.print(f"    [dim]{escape(data_set.reference)}. {escape(data_set.licence)}.[/]")
    console.print("one's own: data=csv data.path=my.csv data.smiles_column=smiles 'data.targets=\\[y]'")
