"""`molgraph train FILE` alone does the right thing with each odd table, or says in one line what to do."""

import json

import pytest

from molgraph.cli import main
from tests.molecules.quirks import QUIRKS, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("quirks")
    write(path)
    return path


@pytest.mark.parametrize("quirk", QUIRKS, ids=lambda quirk: quirk.name)
def test_an_odd_table_trains_or_stops_with_one_line(quirk, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    words = [
        "train",
        quirk.name,
        *quirk.words,
        "data.workers=0",
        "trainer.epochs=1",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    model = [] if any(word.startswith("model=") for word in quirk.words) else ["model=mean"]
    if not quirk.used:
        with pytest.raises(SystemExit) as stopped:
            main([*words, *model])
        said = capsys.readouterr().err
        assert stopped.value.code == 2
        assert quirk.says in said
        assert said.count("\n") == 1
        return
    main([*words, *model])
    said = capsys.readouterr().out
    assert quirk.says in said
    counts = json.loads((tmp_path / "run" / "results.json").read_text())["molecules"]
    rejected = tmp_path / "run" / "rejected.csv"
    left_out = len(rejected.read_text().splitlines()) - 1 if rejected.exists() else 0
    assert (sum(counts.values()), left_out) == (quirk.used, quirk.left_out)
    assert len(said.split("model:")[0].splitlines()) <= 15


def test_there_are_at_least_forty():
    assert len({quirk.name for quirk in QUIRKS}) == len(QUIRKS) >= 40
