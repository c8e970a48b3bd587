"""The verbs of this room: ``molgraph generate`` and ``molgraph translate``; importing this costs nothing.

argparse -> generate | translate -> files and a table
"""

import argparse
from pathlib import Path
from typing import Any


def add_generate(subparsers: Any) -> None:
    """Add ``generate``."""
    parser = subparsers.add_parser("generate", help="write molecules with a trained language model")
    parser.add_argument("run", type=Path, help="run folder of task=language or task=conditional")
    parser.add_argument("-n", "--count", type=int, default=1000, help="molecules (default 1000)")
    parser.add_argument("--temperature", type=float, default=1.0, help="below 1 is more cautious (default 1.0)")
    parser.add_argument("--top-k", type=int, default=0, help="keep the k most probable tokens (default: all)")
    parser.add_argument("--top-p", type=float, default=1.0, help="keep the tokens that together reach p (default: all)")
    parser.add_argument("--beam", type=int, default=0, help="the most probable molecules of a beam, instead of samples")
    parser.add_argument("--exhaustive", type=int, default=0, metavar="TOKENS", help="the best of all that are so short")
    parser.add_argument("--start", default="", help="what each SMILES begins with")
    parser.add_argument(
        "--want", nargs="+", default=[], metavar="NAME=VALUE", help="asked-for properties: logp=2.5 qed=0.8"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=512, help="molecules at a time; halved when memory runs out")
    parser.add_argument(
        "--fcd", action="store_true", help="add the Fréchet ChemNet distance (pip install 'molgraph[fcd]')"
    )
    parser.add_argument("-o", "--output", type=Path, help="CSV file (default: generated.csv in the run folder)")
    parser.set_defaults(run_verb=_generate)


def _generate(arguments: argparse.Namespace) -> None:
    from molgraph.sequences.language.generator import Choosing
    from molgraph.sequences.language.samples import generate

    choosing = Choosing(
        arguments.temperature,
        arguments.top_k,
        arguments.top_p,
        arguments.beam,
        arguments.start,
        arguments.seed,
        arguments.batch_size,
        arguments.exhaustive,
    )
    generate(arguments.run, arguments.count, choosing, wanted_values(arguments.want), arguments.output, arguments.fcd)


def add_translate(subparsers: Any) -> None:
    """Add ``translate``."""
    parser = subparsers.add_parser(
        "translate", help="reactants to product, name to SMILES, ... with a trained translator"
    )
    parser.add_argument("run", type=Path, help="run folder of task=translate")
    parser.add_argument("sources", nargs="*", help="texts to translate, for example 'CCO.CC(=O)O'")
    parser.add_argument("--beam", type=int, default=5, help="candidates for each source; 1 is greedy (default 5)")
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="so many random candidates, not a beam")
    parser.add_argument("--temperature", type=float, default=1.0, help="of --sample; below 1 is more cautious")
    parser.add_argument("--top-k", type=int, default=0, help="of --sample: the k most probable tokens (default: all)")
    parser.add_argument("--top-p", type=float, default=1.0, help="of --sample: the tokens that together reach p")
    parser.add_argument("--seed", type=int, default=0, help="of --sample")
    parser.add_argument("--exhaustive", type=int, default=0, metavar="TOKENS", help="the best of all that are so short")
    parser.add_argument("-i", "--input", type=Path, help="CSV file with the column of the sources, or one text a line")
    parser.add_argument("--column", help="column of the sources (default: as the direction of the run calls it)")
    parser.add_argument("-o", "--output", type=Path, help="CSV file to write: the columns of the input, and candidates")
    parser.add_argument("--picture", type=Path, help="PNG file for the attention of the first translation")
    parser.set_defaults(run_verb=_translate)


def _translate(arguments: argparse.Namespace) -> None:
    from molgraph.sequences.translation.candidates import SourceTable, read_sources, translate
    from molgraph.sequences.translation.translator import Exhaustive, Sampled, Search, Translator

    search: Search = arguments.beam
    if arguments.exhaustive:
        search = Exhaustive(arguments.exhaustive, arguments.beam)
    elif arguments.sample:
        search = Sampled(arguments.sample, arguments.temperature, arguments.top_k, arguments.top_p, arguments.seed)
    elif (arguments.temperature, arguments.top_k, arguments.top_p) != (1.0, 0, 1.0):
        raise ValueError("--temperature, --top-k and --top-p are of random candidates; add --sample N")
    if bool(arguments.sources) == (arguments.input is not None):
        raise ValueError("give texts to translate, or a file with -i, not both and not neither")
    if arguments.input and arguments.output and arguments.output.resolve() == arguments.input.resolve():
        raise ValueError(f"{arguments.output} is the input itself; choose another file for -o")
    translator, table = Translator.load(arguments.run), SourceTable.of(arguments.sources)
    if arguments.input:
        direction = translator.direction
        table = read_sources(arguments.input, arguments.column or direction.source, direction.reads_smiles)
    translate(translator, table, search, arguments.output, arguments.picture)


def wanted_values(texts: list[str]) -> dict[str, float]:
    """Return ``["logp=2.5"]`` to ``{"logp": 2.5}``.

    Raises:
        ValueError: if one is not of that form.

    >>> wanted_values(["logp=2.5", "qed=0.8"])
    {'logp': 2.5, 'qed': 0.8}
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            values[name.strip().lower()] = float(value)
        except ValueError as error:
            raise ValueError(f"--want {text!r} is not name=number, for example logp=2.5") from error
        if not equals or not name.strip():
            raise ValueError(f"--want {text!r} is not name=number, for example logp=2.5")
    return values
