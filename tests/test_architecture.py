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
    # A SMILES is a molecule written down, and its graph can feed a decoder: by what these sub-rooms hand on, no more.
    "sequences": {"nn", "training", "molecules.tables", "molecules.reading", "molecules.graphs", "molecules.models"},
}
SUBROOMS = {
    "molecules": {
        "tables": set(),
        "reading": {"tables"},
        "graphs": {"reading"},
        "models": {"reading", "graphs"},
        "trust": {"reading"},
    },
    "sequences": {
        "text": set(),
        "layers": {"text"},
        "decoding": {"text", "layers"},
        "evaluation": set(),
        "property": {"text", "layers"},
        "language": {"text", "layers", "decoding", "evaluation"},
        "translation": {"text", "layers", "decoding", "evaluation"},
    },
    "particles": {
        "geometry": set(),
        "solvers": {"geometry"},
        "data": {"geometry", "solvers"},
        "models": {"geometry", "data"},
        "learning": {"geometry", "data", "models"},
        "rollout": {"geometry", "solvers", "data", "models", "learning"},
    },
    "training": {"hardware": set(), "comparison": set()},
}
"""Which sub-room may know which; the files at a room's door may know all of them, and no sub-room knows the door."""
DOOR = {
    # the door of these rooms is a layer of its own, beneath the sub-rooms
    ("training", "hardware"): {"cache", "config", "task"},
    ("training", "comparison"): {"checkpoint", "config", "experiment", "metrics", "run", "supervised", "trainer"},
    # a rollout loads the run that an experiment left
    ("particles", "rollout"): {"experiment"},
}
MOST_FILES, MOST_FLOORS = 15, 11
HOMES = {
    "rdkit": ("molecules/", "testing.py"),  # the contract renumbers atoms
    "ase": ("particles/",),
    "warp": ("particles/solvers/",),
    "hydra": ("cli.py", "api.py"),
    "omegaconf": ("cli.py", "api.py"),
    "wandb": ("training/loggers.py",),
    "dgl": (
        "molecules/graphs/convert.py",
        "molecules/graphs/dgl_files.py",
        "particles/geometry/neighbors.py",
        "nn/graph.py",
    ),
}
NAMELESS = {"utils", "util", "common", "core", "helpers", "base", "misc"}
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))
ENDINGS = ("ation", "ing", "ion", "or", "er", "ed", "es", "e", "s", "r")


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


def modules_of(file):
    """Yield the words of each module of ours that a file imports."""
    for name in imports_of(file):
        words = name.split(".")
        if words[0] == "molgraph" and len(words) > 1:
            yield words[1:]


def imported_file(words):
    """Return the file that holds a dotted name, or None."""
    for length in range(len(words), 0, -1):
        stem = Path(*words[:length])
        for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
            if (ROOT / candidate).exists():
                return candidate
    return None


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[0] in ROOMS], ids=str)
def test_a_room_knows_only_the_rooms_it_may_know(file):
    room = file.parts[0]
    for words in modules_of(file):
        if words[0] != room:
            allowed = words[0] in ARROWS[room] or ".".join(words[:2]) in ARROWS[room]
            assert allowed, f"{file} may not import {'.'.join(words)}"
            handed_on = words[0] not in SUBROOMS or words[0] == "training" or len(words) == 3
            assert handed_on, f"{file} takes {'.'.join(words)} from inside a sub-room; its __init__ has to hand it on"


@pytest.mark.parametrize("file", [file for file in FILES if len(file.parts) == 3], ids=str)
def test_a_subroom_knows_only_the_subrooms_it_may_know(file):
    room, subroom = file.parts[:2]
    for words in modules_of(file):
        if words[0] != room or words[1] == subroom or imported_file(words) == Path(room, "__init__.py"):
            continue
        beside, door = SUBROOMS[room][subroom], DOOR.get((room, subroom), set())
        assert words[1] in beside | door, f"{file} may not import {'.'.join(words)}"


def test_every_subroom_is_drawn_and_says_what_lives_there():
    drawn = {(room, subroom) for room, subrooms in SUBROOMS.items() for subroom in subrooms}
    assert {file.parts[:2] for file in FILES if len(file.parts) == 3} == drawn
    for room, subroom in sorted(drawn):
        sentence = ast.get_docstring(ast.parse((ROOT / room / subroom / "__init__.py").read_text()))
        assert (":" in sentence and "->" in sentence) or (room, subroom) == ("training", "hardware"), (room, subroom)


def test_what_is_allowed_is_used():
    used = {
        (file.parts[0], file.parts[1], words[1])
        for file in FILES
        if len(file.parts) == 3
        for words in modules_of(file)
        if words[0] == file.parts[0] and len(words) > 1
    }
    allowed = {
        (room, sub, other) for room, subs in SUBROOMS.items() for sub, others in subs.items() for other in others
    }
    allowed |= {(room, sub, name) for (room, sub), names in DOOR.items() for name in names}
    assert sorted(allowed - used) == []


def test_no_folder_is_crowded_and_no_two_neighbours_differ_by_their_ending():
    for folder in {file.parent for file in FILES}:
        names = [file.stem for file in FILES if file.parent == folder and file.stem != "__init__"]
        assert len(names) <= MOST_FILES, f"{folder} holds {len(names)} files"
        stems = {}
        for name in names:
            ending = next((e for e in ENDINGS if name.endswith(e) and len(name) - len(e) > 3), "")
            stems.setdefault(name.removesuffix(ending), []).append(name)
        assert [same for same in stems.values() if len(same) > 1] == [], folder


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_few_floors_and_no_circle(room):
    inside = [file for file in FILES if file.parts[0] == room]
    below = {file: {imported_file(words) for words in modules_of(file)} & set(inside) - {file} for file in inside}

    def floors(file, above=()):
        assert file not in above, f"a circle: {' -> '.join(map(str, (*above, file)))}"
        return 1 + max((floors(other, (*above, file)) for other in below[file]), default=0)

    assert max(floors(file) for file in inside) <= MOST_FLOORS


@pytest.mark.parametrize("library", HOMES)
def test_a_library_is_imported_only_in_its_home(library):
    strangers = [
        str(file)
        for file in FILES
        if any(name.split(".")[0] == library for name in imports_of(file))
        and not any(file.as_posix().startswith(home) for home in HOMES[library])
    ]
    assert strangers == []


@pytest.mark.parametrize("library", HOMES)
def test_every_home_is_lived_in(library):
    users = [file.as_posix() for file in FILES if any(name.split(".")[0] == library for name in imports_of(file))]
    assert [home for home in HOMES[library] if not any(user.startswith(home) for user in users)] == []


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
            elif isinstance(node, ast.Assert) and file.name != "testing.py":
                problems.append(f"{file}:{node.lineno} asserts; raise ValueError")
            elif isinstance(node, ast.ExceptHandler) and node.type is None:
                problems.append(f"{file}:{node.lineno} has a bare except")
    assert problems == []


def rich_markup(call):
    """Return the f-strings with words from outside that a call of ``console.print`` would read as markup."""
    off = any(word.arg == "markup" for word in call.keywords)
    for text in () if off else (node for one in call.args for node in ast.walk(one) if isinstance(node, ast.JoinedStr)):
        for value in (node for node in text.values if isinstance(node, ast.FormattedValue)):
            said = ast.unparse(value.value)
            if not (value.format_spec or said.startswith(("escape(", "len(", "describe_device("))):
                yield said


NUMBERS_AND_OUR_WORDS = {
    "counts", "judged", "where", "precision", "self.table.kind", "self.config.split", "self.split_hash[:12]",
    "data_set.name", "path.name", "first.row", "doubled", "self.config.epochs", "self.progress.epoch + 1",
}  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=str)
def test_what_a_user_has_named_is_printed_as_it_is(file):
    calls = [
        node
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "print"
    ]
    eaten = {said for call in calls for said in rich_markup(call)} - NUMBERS_AND_OUR_WORDS
    assert not eaten, "brackets in these vanish: give markup=False, or rich.markup.escape"
