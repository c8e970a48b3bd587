"""The guides are true: links and named places exist, and every command that is not marked as long runs."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from molgraph.cli import build_parser, main

ROOT = Path(__file__).parents[1]
GUIDES = sorted(
    path.relative_to(ROOT)
    for path in ROOT.rglob("*.md")
    if not {"node_modules", "ISSUE_TEMPLATE", ".pytest_cache", ".venv", "site"} & set(path.relative_to(ROOT).parts)
)
LINK = re.compile(r"(?:\]\(|src=\")([^)\"#\s]+)")
ANSWER = re.compile(r"`([\w./]+\.py)`: `(\w+)`")


def text_of(guide):
    return (ROOT / guide).read_text()


@pytest.mark.parametrize("guide", GUIDES, ids=str)
def test_what_a_guide_links_to_exists(guide):
    links = [link for link in LINK.findall(text_of(guide)) if "://" not in link]
    assert [link for link in links if not (ROOT / guide.parent / link).exists()] == []


def test_the_way_in_is_short():
    assert len(text_of("README.md").splitlines()) <= 150


def test_each_question_of_a_stranger_is_answered_in_two_files_at_most():
    section = text_of(".github/CONTRIBUTING.md").split("## Ten questions")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if "?" in line]
    assert len(rows) == 10
    for row in rows:
        answers = ANSWER.findall(row)
        assert 1 <= len(answers) <= 2, row
        for file, name in answers:
            assert re.search(rf"^(class|def) {name}\b|^{name}\b", (ROOT / file).read_text(), re.MULTILINE), row


def test_a_reader_finds_the_tests_of_every_module():
    listed = dict(re.findall(r"^\| `([\w/]+\.py)` \| \[([\w/]+\.py)\]", text_of("tests/README.md"), re.MULTILINE))
    modules = [path.relative_to(ROOT / "molgraph") for path in (ROOT / "molgraph").rglob("*.py")]
    alone = {
        module.as_posix()
        for module in modules
        if not module.name.startswith("__") and not (ROOT / "tests" / module.parent / f"test_{module.name}").exists()
    }
    assert alone == set(listed)
    assert [test for test in listed.values() if not (ROOT / "tests" / test).exists()] == []


LONG = re.compile(r"#.*\b(minutes?|hours?)\b")
QUICK = ("trainer.epochs=1", "trainer.max_steps=2", "trainer.device=cpu", "trainer.precision=float32")
RUNS = {"generate": "language", "translate": "translation", "rollout": "simulation"}
NEEDS_DATA = re.compile(r"data=(esol|freesolv|bbbp|tox21|hiv|zinc250k|moses|uspto50k|iupac|qm9)\b|experiment=reaction")


def commands():
    """Yield guide, command and whether it is marked as long, of every ``bash`` block."""
    for guide in GUIDES:
        for block in re.findall(r"```bash\n(.*?)```", text_of(guide), re.DOTALL):
            for line in block.splitlines():
                for part in line.split(" && "):
                    if part.strip() and not part.strip().startswith("#"):
                        yield pytest.param(part.strip(), bool(LONG.search(line)), id=f"{guide}: {part.strip()[:60]}")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with the files that the guides speak of."""
    folder = tmp_path_factory.mktemp("desk")
    rows = [f"{'C' * n}{end},{n + len(end)}" for n in range(1, 16) for end in ("", "O", "N", "Cl")]
    for name in ("my.csv", "assay.csv", "library.csv", "molecules.csv", "measured.csv"):
        (folder / name).write_text("smiles,logp\n" + "\n".join(rows) + "\n")
    (folder / "sources.csv").write_text("smiles\nCCO\nCCN\n")
    return folder


def words_of(command, desk, verb):
    """Return the words of a command, with a stored run in the place of RUN."""
    kind = RUNS.get(verb, "gatv2")
    if {"--coverage", "--domain", "--nearest", "--trust"} & set(shlex.split(command, comments=True)):
        kind = "trusted"
    return [str(ROOT / "tests" / "runs" / kind) if w == "RUN" else w for w in shlex.split(command, comments=True)]


@pytest.mark.parametrize(("command", "is_long"), list(commands()))
def test_a_command_of_a_guide_is_accepted_and_runs(command, is_long, desk, monkeypatch, request):
    words = shlex.split(command, comments=True)
    monkeypatch.chdir(desk)
    if words[0] != "molgraph":
        check_other(words, is_long)
        return
    verb = words[1]
    if NEEDS_DATA.search(command) and not is_long:
        monkeypatch.setenv("MOLGRAPH_DATA", str(request.getfixturevalue("real_data")))
    words = words_of(command, desk, verb)[1:]
    if verb == "train":
        run_training(words, is_long)
    elif verb in ("compare", "resume"):
        run_on_own_runs(words, desk)
    elif is_long or verb in ("simulate", "rollout") or "--want" in words:
        build_parser().parse_args(words)
    else:
        main([*words, *(["-n", "4"] if verb == "generate" else [])])


def run_training(words, is_long):
    """Run a training for two steps, or compose its configuration only."""
    several = "-m" in words or "--cfg" in words
    is_long = is_long or words == ["train"]  # the whole of it is run by .ci/run, from a wheel
    extra = [] if several else ["--cfg", "job"] if is_long else list(QUICK)
    if several and "--cfg" not in words:
        words, extra = [word for word in words if word != "-m"], ["--cfg", "job"]
        words = [word.partition(",")[0] for word in words]
    main([*words, *extra])


def run_on_own_runs(words, desk):
    """Give a verb that wants whole run folders some that were just trained."""
    runs = [desk / f"run_{seed}" for seed in range(3)]
    table = ["data=csv", "data.path=my.csv", "data.targets=[logp]", "model=gcn", "model.encoder.hidden=8"]
    for seed, run in enumerate(runs):
        if not run.exists():
            main(["train", *table, *QUICK, f"seed={seed}", f"hydra.run.dir={run}"])
    stored, places = str(ROOT / "tests" / "runs" / "gatv2"), iter(runs)
    words = [str(next(places)) if word == stored else word for word in words]
    main([*words, *(["trainer.device=cpu"] if words[0] == "resume" else [])])


def check_other(words, is_long):
    """See that what pip, pytest and python are asked for exists; they are not run here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in re.findall(r"\.\[([\w,]+)\]", " ".join(words)):
        assert set(extra.split(",")) <= set(project["optional-dependencies"])
    if words[:2] == ["python", "-m"]:
        module = words[2].replace(".", "/")
        assert (ROOT / f"{module}.py").exists() or (ROOT / module / "__main__.py").exists()
    for word in words[1:]:
        if word.startswith("tests/"):
            assert (ROOT / word).exists()
    assert words[0] in ("pip", "pytest", "python", "torchrun", "bash", "mkdocs", "tensorboard"), words
