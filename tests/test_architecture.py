"""The picture in the README is true: who may know whom, and where each library lives; read from the source."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "molgraph"
ROOMS = ("nn", "training", "molecules", "sequences", "particles")
ARROWS = {
    "nn": set(),
    "training": set(),
    "molecules": {"nn", "training"},
    "particles": {"nn", "training"},
    # A SMILES is a molecule written down: sequences knows these modules of molecules and no other. explain holds what
    # any model says of its atoms; chemistry is RDKit for those who may not import it; catalog finds the cache folder.
    "sequences": {"nn", "training"}
    | {f"molecules.{name}" for name in ("smiles", "splits", "dataset", "encoders", "explain", "chemistry", "catalog")},
}
HOMES = {
    "rdkit": ("molecules/",),
    "ase": ("particles/",),
    "warp": ("particles/",),
    "hydra": ("cli.py",),
    "omegaconf": ("cli.py",),
    "wandb": ("training/loggers.py",),
    "dgl": ("molecules/graph.py", "particles/neighbors.py", "nn/graph.py"),
}
NAMELESS = {"utils", "util", "common", "core", "helpers", "base", "misc"}
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def imports_of(file):
    """Return the dotted names that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ("molgraph", *file.parts[:-1])
            prefix = list(package[: len(package) + 1 - node.level]) if node.level else []
            module = ".".join(prefix + ([node.module] if node.module else []))
            yield from (f"{module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[0] in ROOMS], ids=str)
def test_a_room_knows_only_the_rooms_it_may_know(file):
    room = file.parts[0]
    for name in imports_of(file):
        words = name.split(".")
        if words[0] == "molgraph" and words[1] != room:
            allowed = words[1] in ARROWS[room] or ".".join(words[1:3]) in ARROWS[room]
            assert allowed, f"{file} may not import {name}"


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_only_in_its_home(library):
    strangers = [
        str(file)
        for file in FILES
        if any(name.split(".")[0] == library for name in imports_of(file))
        and not any(file.as_posix().startswith(home) for home in HOMES[library])
    ]
    assert strangers == []


@pytest.mark.parametrize("room", ROOMS)
def test_the_verbs_of_a_room_load_no_heavy_library(room):
    path = ROOT / room / "commands.py"
    if not path.exists():
        return
    top = ast.parse(path.read_text()).body
    names = [n.name for node in top if isinstance(node, ast.Import) for n in node.names]
    names += [node.module for node in top if isinstance(node, ast.ImportFrom) and not node.level]
    heavy = {"torch", "rdkit", "dgl", "numpy", "molgraph", "matplotlib", "rich"}
    assert not heavy & {name.split(".")[0] for name in names}


def test_no_file_is_called_after_nothing():
    assert [str(file) for file in FILES if file.stem in NAMELESS or file.parts[0] in NAMELESS] == []


def test_every_module_opens_with_a_sentence():
    assert [str(file) for file in FILES if not ast.get_docstring(ast.parse((ROOT / file).read_text()))] == []


def test_functions_fit_on_a_screen_and_nothing_is_asserted_or_swallowed():
    problems = []
    for file in FILES:
        for node in ast.walk(ast.parse((ROOT / file).read_text())):
            if isinstance(node, ast.FunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and node.end_lineno - body[0].lineno >= 60:
                    problems.append(f"{file}:{node.lineno} {node.name} is longer than 60 lines")
                positional = [a for a in node.args.args if a.arg not in ("self", "cls")]
                if node.name == "__init__" and len(positional) > 8:
                    problems.append(f"{file}:{node.lineno} has {len(positional)} constructor arguments")
            elif isinstance(node, ast.Assert):
                problems.append(f"{file}:{node.lineno} asserts; raise ValueError")
            elif isinstance(node, ast.ExceptHandler) and node.type is None:
                problems.append(f"{file}:{node.lineno} has a bare except")
    assert problems == []
