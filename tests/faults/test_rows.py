"""Rows that nobody would write, in every format: as many come out as went in, in order, each with a value or a reason.

``MOLGRAPH_FAULTS=10000 pytest tests/faults`` tries that many; by default a few hundred, so that the suite stays short.
"""

import math
import os
import random
import time

import pytest

import molgraph
from molgraph.cli import main
from molgraph.molecules.tables import open_table, open_writer

ROWS = int(os.environ.get("MOLGRAPH_FAULTS", "300"))
SEEDS = ["CCO", "c1ccccc1C(=O)O", "C[C@H](N)C(=O)O", "[Na+].[Cl-]", "CC(=O)Oc1ccccc1C(=O)O", "N#Cc1ccncc1", "F/C=C/F"]
ALPHABETS = [
    "CNOPSFclBrI()[]=#+-@/\\.1234567890%",
    "äöüßéèñçøåœ",
    "βαγδμ∞≠≤→",
    "水分子化学",
    "молекула",
    "مركب",
    "👩‍🔬🧪",
    " \t\u00a0\u200b\ufeff",
    "\"'`,;|<>&$%{}=*",
    "\x01\x07\x1b\x7f",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    (folder / "t.csv").write_text("smiles,y\n" + "".join(f"{'C' * n}O,{n}\n" for n in range(1, 41)))
    main(
        [
            "train",
            str(folder / "t.csv"),
            "model=gcn",
            "trainer.epochs=1",
            "data.workers=0",
            f"hydra.run.dir={folder / 'run'}",
        ]
    )
    return folder / "run"


def mutated(generator: random.Random) -> str:
    """Return a SMILES with some characters replaced, cut or put in, from any script; now and then a long one."""
    text = list(generator.choice(SEEDS) * generator.choice([1, 1, 1, 2, 40]))
    for _ in range(generator.choice([0, 1, 1, 2, 5, 30])):
        alphabet = generator.choice(ALPHABETS)
        at = generator.randrange(len(text) + 1)
        kind = generator.randrange(4)
        if kind == 0:
            text.insert(at, generator.choice(alphabet))
        elif kind == 1 and text:
            text[at % len(text)] = generator.choice(alphabet)
        elif kind == 2 and text:
            del text[at % len(text)]
        else:
            text[at:at] = [generator.choice(alphabet) * generator.choice([1, 3, 300])]
    return "".join(text)


def rows(number: int, seed: int) -> list[list[str]]:
    generator = random.Random(seed)
    return [[str(row), mutated(generator)] for row in range(number)]


def checked(path, names, given) -> int:
    """Check the rows of an output against those of the input; return how many have a value."""
    values = 0
    with open_table(path, header=True) as table:
        found = [dict(zip(table.header, row.cells, strict=True)) for row in table]
    assert [row["id"] for row in found] == [cells[0] for cells in given]
    for row in found:
        value = row["y_predicted"]
        assert bool(value) != bool(row["error"]), row
        values += bool(value)
        assert not value or math.isfinite(float(value))
    return values


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz", ".csv.zst", ".parquet", ".xlsx"])
@pytest.mark.parametrize("workers", [0, 2])
def test_no_row_is_lost_in_any_format(run, tmp_path, ending, workers):
    if ending != ".csv" and workers:
        pytest.skip("the stream is the same")
    given = rows(ROWS, seed=len(ending))
    source, out = tmp_path / f"in{ending}", tmp_path / f"out{ending}"
    with open_writer(source, ["id", "smiles"]) as writer:
        for cells in given:
            writer.write(cells)
    main(["predict", str(run), "-i", str(source), "-o", str(out), "--workers", str(workers)])
    assert checked(out, ["id", "smiles"], given) > ROWS / 20


def test_no_row_takes_a_second(run):
    model = molgraph.load(run)
    slowest = 0.0
    for _, text in rows(min(ROWS, 3000), seed=7):
        start = time.process_time()
        model.predict_texts([text])
        slowest = max(slowest, time.process_time() - start)
    assert slowest < 1.0


def test_any_line_of_a_file_of_smiles_has_an_answer(run, tmp_path):
    lines = [text.replace("\n", " ") for _, text in rows(ROWS, seed=3)]
    lines = [line for line in lines if line.split()]
    (tmp_path / "in.smi").write_text("\n".join(lines) + "\n", encoding="utf-8")
    main(["predict", str(run), "-i", str(tmp_path / "in.smi"), "-o", str(tmp_path / "out.csv")])
    with open_table(tmp_path / "out.csv", header=True) as table:
        found = list(table)
    with open(tmp_path / "in.smi", encoding="utf-8", newline="") as file:
        assert len(found) == sum(bool(line.split()) for line in file)
    assert all(bool(row.cells[-2]) != bool(row.cells[-1]) for row in found)


def test_a_table_of_mutated_rows_trains_on_what_can_be_used(tmp_path, capsys):
    generator = random.Random(1)
    with open_writer(tmp_path / "t.csv", ["smiles", "y"]) as writer:
        for row in range(max(300, ROWS)):
            value = generator.choice(["1.5", ">3", "n.d.", "2020-01-01", "4,2", "x", "", "7e3", mutated(generator)])
            writer.write([mutated(generator) if row % 3 else generator.choice(SEEDS), value])
    split = "data.fractions=[0.6,0.2,0.2]"
    words = [split, "--smiles", "smiles", "--target", "y", "data.kind=regression", "data.decimal=comma", "model=mean"]
    main(["train", str(tmp_path / "t.csv"), *words, "data.workers=0", f"hydra.run.dir={tmp_path / 'run'}"])
    assert "left out" in capsys.readouterr().out
    with open_table(tmp_path / "run" / "rejected.csv", header=True) as table:
        assert all(row.cells[-1] for row in table)
