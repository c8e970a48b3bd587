import itertools

import pytest
from rich.console import Console

from molgraph.molecules.reading import canonicalize, randomize
from molgraph.sequences.text.corpora import open_texts
from molgraph.sequences.translation.directions import Direction

SHARES = {"val": 0.2, "test": 0.2}


def four_writings(tmp_path):
    """200 esters from an acid and an alcohol, each reaction written in four ways, in a file sorted by writing."""
    pairs = [("C" * (i + 1), "C" * (j + 1)) for i, j in itertools.product(range(20), range(10))]
    lines = []
    for writing in range(4):
        for number, (acid, alcohol) in enumerate(pairs):
            seed = 10 * number + writing
            reactants = randomize(f"{acid}C(=O)O.O{alcohol}", 1, seed)[0]
            product = randomize(f"{acid}C(=O)O{alcohol}", 1, seed)[0]
            lines.append(f"{reactants},{product}")
    path = tmp_path / "four.csv"
    path.write_text("reactants,product\n" + "\n".join(lines) + "\n")
    return path


def groups(texts, column):
    return [{canonicalize(row[column]) for row in texts.rows(part)} for part in ("train", "val", "test")]


@pytest.mark.parametrize("name", ["reactants_to_product", "product_to_reactants"])
def test_reactions_to_one_product_are_never_in_two_parts(tmp_path, name):
    direction = Direction.named(name)
    data = {"path": four_writings(tmp_path), "columns": direction.columns(), **SHARES}
    texts = open_texts(data, direction.columns(), direction.groups)
    train, val, test = groups(texts, direction.groups["product"])
    assert not train & val
    assert not train & test
    assert not val & test
    assert len(train) + len(val) + len(test) == len(train | val | test)
    assert texts.straddling() == {part: (0, len(list(texts.rows(part)))) for part in ("val", "test")}
    assert sum(len(list(texts.rows(part))) for part in ("train", "val", "test")) == 800


def test_rows_that_straddle_are_counted_and_said(tmp_path):
    direction = Direction.named("reactants_to_product")
    data = {"path": four_writings(tmp_path), "group": "none", **SHARES}
    texts = open_texts(data, direction.columns(), direction.groups)
    train, _, test = groups(texts, -1)
    rows = [canonicalize(row[-1]) for row in texts.rows("test")]
    expected = sum(product in train for product in rows)
    assert expected > 0.8 * len(rows)
    assert test & train
    assert texts.straddling()["test"] == (expected, len(rows))
    console = Console(record=True, width=200, quiet=False, file=(tmp_path / "log").open("w"))
    texts.say(console)
    assert f"test: {expected} of {len(rows)} rows have their product in the training part too; use data.group=auto" in (
        console.export_text()
    )


def test_writings_of_a_molecule_stay_together_in_a_file_of_lines(tmp_path):
    molecules = ["C" * (i + 1) + "O" for i in range(60)]
    path = tmp_path / "own.smi"
    path.write_text("".join(f"{randomize(one, 1, w)[0]} number {w}\n" for w in range(4) for one in molecules))
    texts = open_texts({"path": path, **SHARES})
    parts = groups(texts, 0)
    assert sum(map(len, parts)) == 60
    assert [len(list(texts.rows("train"))) for _ in range(2)] == [4 * len(parts[0])] * 2


@pytest.mark.parametrize(
    ("one", "other"),
    [("[CH3:1][OH:2]", "OC"), ("CO.CC", "CC.OC"), ("CO>>COC", "OC.[H+]>[Na]>C(O)C".replace("C(O)C", "O(C)C"))],
)
def test_maps_order_and_reagents_do_not_part_what_is_one(tmp_path, one, other):
    path = tmp_path / "own.smi"
    path.write_text(f"{one}\n{other}\n")
    first, second = open_texts({"path": path}).grouping.keys([(one,), (other,)])
    assert first == second


def test_a_column_and_files_can_say_the_part(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("smiles,part\nC,train\nCC,valid\nCCC,test\nOC,train\nCO,test\n")
    texts = open_texts({"path": path, "split_column": "part"})
    assert [list(texts.rows(part)) for part in ("train", "val", "test")] == [
        [("C",), ("OC",)],
        [("CC",)],
        [("CCC",), ("CO",)],
    ]
    assert texts.straddling() == {"val": (0, 1), "test": (1, 2)}
    (tmp_path / "held.smi").write_text("OC methanol\nN\n")
    texts = open_texts({"path": path, "test_path": tmp_path / "held.smi", "val": 0.0})
    assert list(texts.rows("test")) == [("OC",), ("N",)]
    assert texts.straddling()["test"] == (1, 2)
    assert len(list(texts.rows("train"))) == 5


def test_what_no_split_can_be_made_of_is_said(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("smiles,part\nC,train\nCC,later\n")
    with pytest.raises(ValueError, match="row 2: the split column says 'later'; use train, val or test"):
        list(open_texts({"path": path, "split_column": "part"}).rows("train"))
    with pytest.raises(ValueError, match=r"data.group=scaffold is none of these rows; choose auto, molecule"):
        open_texts({"path": path, "group": "scaffold"})
    with pytest.raises(ValueError, match=r"say it twice"):
        open_texts({"path": path, "split_column": "part", "val_path": path})
    with pytest.raises(ValueError, match=r"data.val_path=nowhere.csv does not exist"):
        open_texts({"path": path, "val_path": "nowhere.csv"})


def test_a_line_of_prose_is_a_text_and_a_line_of_smiles_may_have_a_name(tmp_path):
    for name in ("own.txt", "own.smi"):
        (tmp_path / name).write_text("  To be or not\r\n\nto be\n")
    data = {"val": 0.0, "test": 0.0}
    whole = open_texts({"path": tmp_path / "own.txt", **data}, prose=True)
    assert list(whole.rows("train")) == [("  To be or not",), ("to be",)]
    smiles = open_texts({"path": tmp_path / "own.smi", **data}, prose=True)
    assert list(smiles.rows("train")) == [("To",), ("to",)]
    assert list(open_texts({"path": tmp_path / "own.txt", **data}).rows("train")) == [("To",), ("to",)]
