import argparse
import subprocess
import sys

import pytest

from molgraph.sequences.commands import add_generate, add_translate, wanted_values


def parse(*arguments):
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    add_generate(subparsers)
    add_translate(subparsers)
    return parser.parse_args(list(arguments))


def test_the_command_line_reads_as_a_sentence():
    generate = parse(
        "generate", "runs/x", "-n", "10", "--want", "logp=2.5", "qed=0.8", "--start", "c1ccccc1", "--top-p", "0.9"
    )
    assert (generate.count, generate.want, generate.start, generate.top_p) == (
        10,
        ["logp=2.5", "qed=0.8"],
        "c1ccccc1",
        0.9,
    )
    translate = parse("translate", "runs/y", "CCO.CC(=O)O", "--beam", "5")
    assert (translate.sources, translate.beam) == (["CCO.CC(=O)O"], 5)


@pytest.mark.parametrize("text", ["logp", "logp=high", "=3"])
def test_a_wish_that_is_not_name_and_number_is_refused(text):
    with pytest.raises(ValueError, match="is not name=number"):
        wanted_values([text])


def test_texts_and_a_file_exclude_each_other():
    for arguments in (["translate", "runs/y"], ["translate", "runs/y", "CC", "-i", "in.csv"]):
        parsed = parse(*arguments)
        with pytest.raises(ValueError, match="not both and not neither"):
            parsed.run_verb(parsed)


def test_parsing_does_not_import_torch():
    code = "import sys, molgraph.sequences.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_verbs_reach_their_functions(monkeypatch):
    called = {}
    monkeypatch.setattr(
        "molgraph.sequences.language.samples.generate", lambda *arguments: called.update(generate=arguments)
    )
    monkeypatch.setattr(
        "molgraph.sequences.translation.candidates.translate", lambda *arguments: called.update(translate=arguments)
    )
    monkeypatch.setattr("molgraph.sequences.translation.translator.Translator.load", lambda run: f"translator of {run}")
    for arguments in (["generate", "runs/x", "--want", "LogP=1"], ["translate", "runs/y", "CC"]):
        parsed = parse(*arguments)
        parsed.run_verb(parsed)
    assert called["generate"][3] == {"logp": 1.0}
    assert called["translate"][0] == "translator of runs/y"
    assert list(called["translate"][1].rows) == [["CC"]]
