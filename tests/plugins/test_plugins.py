"""A package of one's own adds to molgraph without touching it, and nobody else's code is ever run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import molgraph
from molgraph.cli import main
from molgraph.testing import SMILES, MoleculeModelContract
from molgraph.training import plugins
from molgraph.training.config import locate
from tests.choices import choice

HERE = Path(__file__).parent
QUICK = ["trainer.epochs=2", "trainer.max_steps=null", "trainer.threads=1", "trainer.precision=float32"]


@pytest.fixture
def fresh(monkeypatch):
    """Forget at the end what a test has trusted and imported."""
    monkeypatch.setattr(plugins, "_trusted", set())
    monkeypatch.setattr(sys, "path", list(sys.path))
    plugins.installed.cache_clear()
    yield
    plugins.installed.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] in ("example_plugin", "mymodel")]:
        del sys.modules[name]


@pytest.fixture
def trusted(fresh, monkeypatch):
    """The example lies in the current folder, and the user names it."""
    monkeypatch.chdir(HERE)
    plugins.trust(["example_plugin"])


@pytest.fixture
def installed(fresh, monkeypatch, tmp_path):
    """The example is an installed package with an entry point, as pip leaves it."""
    (tmp_path / "site" / "example_plugin-0.1.dist-info").mkdir(parents=True)
    facts = tmp_path / "site" / "example_plugin-0.1.dist-info"
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: example-plugin\nVersion: 0.1\n")
    (facts / "entry_points.txt").write_text("[molgraph]\nexample = example_plugin\n")
    (tmp_path / "site" / "example_plugin").symlink_to(HERE / "example_plugin")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    plugins.installed.cache_clear()


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_an_installed_plugin_brings_encoder_data_set_and_loss(installed, tmp_path):
    run = tmp_path / "run"
    main(["train", "data=alcohols", "model=max", "task=huber", "trainer.epochs=40", *QUICK[1:], f"hydra.run.dir={run}"])
    assert results(run)["test"]["carbons"]["rmse"] < results(run)["baseline"]["carbons"]["rmse"]
    predicted = molgraph.load(run).predict("CCCCCCCCO").values[0]
    assert 0 < predicted < 40


def test_a_plugin_of_the_current_folder_works_when_the_command_names_it(trusted, tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    main(["train", "plugins=[example_plugin]", "data=alcohols", "model=max", *QUICK, f"hydra.run.dir={run}"])
    assert yaml.safe_load((run / "config.yaml").read_text())["plugins"] == ["example_plugin"]
    monkeypatch.setattr(plugins, "_trusted", set())
    with pytest.raises(ValueError, match=r"example_plugin.*lies outside molgraph.*--trust"):
        molgraph.load(run)
    main(["predict", str(run), "CCO", "--trust", "example_plugin"])
    assert "CCO" in capsys.readouterr().out
    monkeypatch.setattr(plugins, "_trusted", set())
    assert molgraph.load(run, trust=["example_plugin"]).predict("CCO").values


def test_a_solver_of_ones_own_makes_a_set_and_a_simulator_learns_it(trusted, tmp_path):
    run = tmp_path / "run"
    windows = ["task.windows.steps_per_epoch=60", "task.windows.unrolls=[1]", "task.windows.validation_steps=5"]
    space = ["task.space.history=1", "task.space.noise=0.001", "task.space.radius=0.5"]
    words = ["plugins=[example_plugin]", "task=simulation", "data=springs", "model=central", *windows, *space]
    main(["train", *words, *QUICK, "trainer.optimizer.learning_rate=0.1", f"hydra.run.dir={run}"])
    found = results(run)
    assert found["model"]["mse_all"] < 0.1 * found["free_flight"]["mse_all"]


class TestTheEncoder(MoleculeModelContract):
    """The contract that molgraph ships, run by the plug-in."""

    @pytest.fixture
    def make(self, trusted):
        from molgraph.molecules.models.graph_predictor import GraphPredictor

        encoder = {"_target_": "example_plugin.encoder.MaxEncoder", "hidden": 24, "layers": 2}
        return lambda: GraphPredictor.build(SMILES, 2, encoder=encoder)

    @pytest.fixture
    def model(self, make):
        return make()

    @pytest.fixture
    def twin(self, make):
        return make()


def test_no_example_is_longer_than_a_screen():
    for path in (HERE / "example_plugin").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 60, path


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "mymodel.Evil",
        "molgraph.cli.os.system",
        "molgraph.training.run.TemporaryDirectory",
        "molgraph.training.config._check_choice",
        "molgraph.training.config.OPTIMIZERS",
        "molgraph_evil.Evil",
        "system",
        "",
    ],
)
def test_a_configuration_names_nothing_but_classes_of_molgraph_and_known_plugins(target, fresh, tmp_path, monkeypatch):
    (tmp_path / "mymodel.py").write_text("raise SystemExit('this code must not run')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=r"_target_"):
        locate(target)


def test_a_wrong_target_is_refused_before_any_data_are_read(tmp_path):
    encoder = choice("model", "gcn")["encoder"] | {"_target_": "molgraph.molecules.models.encoders.GNC"}
    config = {
        "data": {"path": str(tmp_path / "missing.csv"), "targets": ["y"]},
        "model": choice("model", "gcn") | {"encoder": encoder},
        "task": {"_target_": "molgraph.molecules.experiment.PropertyExperiment"},
        "trainer": {},
        "seed": 0,
    }
    with pytest.raises(ValueError, match=r"GNC' does not exist"):
        molgraph.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_is_not_there_cannot_be_trusted(fresh):
    with pytest.raises(ValueError, match=r"no module 'nosuchmodule' to trust"):
        plugins.trust(["nosuchmodule"])


def test_a_plugin_in_the_current_folder_never_hides_an_installed_package(fresh, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('this code must not run')\n")
    monkeypatch.chdir(tmp_path)
    code = "from molgraph.training.plugins import trust; trust(['json']); import json; print(json.loads('1'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=None, cwd=HERE)
    assert done.stdout.strip() == "1", done.stderr
