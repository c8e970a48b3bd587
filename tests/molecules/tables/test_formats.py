"""SDF, SMI, Parquet and Excel: what stands in them arrives, damage is said, and rows go out as they came in."""

import gzip

import pytest
from rdkit import Chem

from molgraph.molecules.tables import open_table, open_writer

SMILES = ["CCO", "c1ccccc1", "CC(=O)[O-].[Na+]", "C[C@H](N)C(=O)O"]


def sdf(rows):
    text = ""
    for number, (smiles, properties) in enumerate(rows):
        mol = Chem.MolFromSmiles(smiles)
        mol.SetProp("_Name", f"m{number}")
        text += Chem.MolToMolBlock(mol)
        text += "".join(f">  <{name}>  ({number})\n{value}\n\n" for name, value in properties.items()) + "$$$$\n"
    return text


def read(path, **options):
    with open_table(path, **options) as table:
        return table.header, list(table)


@pytest.mark.parametrize("ending", [".sdf", ".sdf.gz", ".dat"])
def test_properties_of_an_sdf_are_columns_wherever_they_first_appear(tmp_path, ending):
    text = sdf([(SMILES[0], {"logS": 1.5}), (SMILES[1], {"logS": 2, "note": "a\nb"}), (SMILES[3], {})])
    (tmp_path / f"t{ending}").write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    header, rows = read(tmp_path / f"t{ending}")
    assert header == ["name", "smiles", "logS", "note"]
    assert [row.cells for row in rows] == [
        ["m0", "CCO", "1.5", ""],
        ["m1", "c1ccccc1", "2", "a\nb"],
        ["m2", "C[C@H](N)C(=O)O", "", ""],
    ]
    assert text.splitlines()[rows[1].line - 1] == "m1"


def test_a_record_that_cannot_be_read_keeps_its_place_and_its_properties(tmp_path):
    text = sdf([("CCO", {"y": 1}), ("CC", {"y": 2}), ("C", {"y": 3})]).replace(
        "  2  1  0  0  0  0  0  0  0  0999", "  9  1  0  0  0  0  0  0  0  0999"
    )
    (tmp_path / "t.sdf").write_text(text + "\n\n")
    _, rows = read(tmp_path / "t.sdf")
    assert [(row.cells[2], bool(row.problem)) for row in rows] == [("1", False), ("2", True), ("3", False)]


def test_names_and_extensions_after_a_smiles_are_apart(tmp_path):
    (tmp_path / "t.smi").write_text("smiles name\nCCO ethanol, pure\n\nC |$_AV:a b$| methane\nCC\n")
    header, rows = read(tmp_path / "t.smi")
    assert header == ["smiles", "name"]
    assert [row.cells for row in rows] == [["CCO", "ethanol, pure"], ["C |$_AV:a b$|", "methane"], ["CC", ""]]


def test_parquet_keeps_numbers_as_numbers(tmp_path):
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({"id": [1, None, 2**60], "smiles": SMILES[:3], "y": [0.1, 1e-12, None]})
    parquet.write_table(table, tmp_path / "a.parquet")
    with open_table(tmp_path / "a.parquet") as opened:
        rows = [row.cells for row in opened]
        with open_writer(tmp_path / "b.parquet", [*opened.header, "p"], opened.format, {"p": "double"}) as writer:
            for cells in rows:
                writer.write([*cells, "2.5" if cells[0] else ""])
    assert rows == [["1", "CCO", "0.1"], ["", "c1ccccc1", "1e-12"], [str(2**60), SMILES[2], ""]]
    back = parquet.read_table(tmp_path / "b.parquet").to_pydict()
    assert back == table.to_pydict() | {"p": [2.5, None, 2.5]}


def test_excel_is_read_and_written_and_a_formula_stays_a_text(tmp_path):
    from openpyxl import load_workbook

    with open_writer(tmp_path / "t.xlsx", ["smiles", "y"]) as writer:
        writer.write(["CCO", "1.5"])
        writer.write(["=1+1", ""])
        writer.write(["C", "x"])
    assert load_workbook(tmp_path / "t.xlsx").active["B2"].value == 1.5
    header, rows = read(tmp_path / "t.xlsx")
    assert header == ["smiles", "y"]
    assert [row.cells for row in rows] == [["CCO", "1.5"], ["=1+1", ""], ["C", "x"]]


def test_an_sdf_that_is_written_can_be_read_by_rdkit_and_by_us(tmp_path):
    with open_writer(tmp_path / "t.sdf.gz", ["smiles", "y"]) as writer:
        for smiles in [*SMILES, "nonsense"]:
            writer.write([smiles, "1"])
    header, rows = read(tmp_path / "t.sdf.gz")
    assert header == ["name", "smiles", "y"]
    assert [row.cells[1] for row in rows] == [*map(Chem.CanonSmiles, SMILES), ""]
    assert rows[-1].problem == "the record has no atoms"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.parquet", b"PAR1 no more", "damaged Parquet"),
        ("t.xlsx", b"PK\x03\x04 no more", "no Excel workbook"),
        ("t.xls", b"\xd0\xcf\x11\xe0", "save it as .xlsx"),
        ("t.csv", b"%PDF-1.4", "a PDF and no table"),
        ("t.sdf", b"smiles,y\nC,1\n", "is it an SDF file"),
    ],
)
def test_what_is_no_table_is_said_in_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        read(tmp_path / name)
    assert "\n" not in str(caught.value)
