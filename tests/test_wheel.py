"""The wheel carries everything that the program reads."""

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    missing = [name for name in ("hatchling", "pip") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"building a wheel without a network needs {' and '.join(missing)} in this environment")
    folder = tmp_path_factory.mktemp("wheel")
    words = ["wheel", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-w", str(folder), str(ROOT)]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_configuration_data_and_types_are_in_the_wheel(names):
    for path in ROOT.glob("conf/**/*.yaml"):
        assert f"molgraph/conf/{path.relative_to(ROOT / 'conf').as_posix()}" in names
    for path in (ROOT / "molgraph").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".md":
            assert f"molgraph/{path.relative_to(ROOT / 'molgraph').as_posix()}" in names
    assert "molgraph/py.typed" in names


def test_nothing_else_is_in_the_wheel(names):
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"molgraph"}
    assert not [name for name in names if name.endswith(".pyc")]


def test_the_program_runs_from_the_unpacked_wheel(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "from molgraph.training.config import CONF; from molgraph.molecules.reading.catalog import SHIPPED\n"
        "print(CONF); print(SHIPPED); assert (CONF / 'train.yaml').is_file() and (SHIPPED / 'aqsoldb.csv.gz').is_file()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(str(tmp_path)) for line in done.stdout.splitlines())
