import gzip
import io
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molgraph.molecules.tables import TableFormat, delimited, open_table, open_writer

CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=12)
TABLE = st.integers(2, 4).flatmap(
    lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=8)
)


def rows_of(source, **options):
    with open_table(source, **options) as table:
        return table.header, table.format, list(table)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.csv.zst"])
@pytest.mark.parametrize("delimiter", [",", ";", "|"])
def test_any_table_of_unicode_cells_comes_back_as_it_was_written(tmp_path_factory, name, delimiter):
    if name.endswith("zst"):
        pytest.importorskip("zstandard")
    path = tmp_path_factory.mktemp("tables") / name

    @settings(max_examples=40, deadline=None)
    @given(TABLE)
    def check(rows):
        header = ["smiles", *"abcd"[: len(rows[0]) - 1]]
        with open_writer(path, header, TableFormat(delimiter=delimiter)) as writer:
            for row in rows:
                writer.write(row)
        used = "\t" if ".tsv" in name else delimiter
        found, form, read = rows_of(path, delimiter=used, encoding="utf-8", header=True)
        assert found == header
        assert [row.cells for row in read] == rows
        assert form.compression == {"gz": "gzip", "st": "zstd"}.get(name[-2:], "")

    check()


def test_a_cell_with_line_breaks_comes_back(tmp_path):
    with open_writer(tmp_path / "t.csv", ["mol", "y", "z"]) as writer:
        writer.write(["a\r\nb\rc\n", "1", "2"])
    assert rows_of(tmp_path / "t.csv")[2][0].cells == ["a\r\nb\rc\n", "1", "2"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiter_encoding_and_line_ends_are_found(tmp_path, encoding, delimiter, end):
    unit = "µ€" if encoding == "cp1252" else "µ"
    lines = [["smiles", f"IC50 [{unit}M]"], ["CCO", "1.5"], ["C[C@H](N)O", "2.5"]]
    content = end.join(delimiter.join(line) for line in lines) + end
    (tmp_path / "t").write_bytes(content.encode(encoding))
    header, form, rows = rows_of(tmp_path / "t")
    assert (header, form.delimiter) == (lines[0], delimiter)
    assert [row.cells for row in rows] == lines[1:]


def test_a_decimal_comma_is_no_delimiter(tmp_path):
    (tmp_path / "t.csv").write_text("Structure (SMILES);IC50 [nM]\nCCO;1,5\nCC;>2,5\n")
    header, form, rows = rows_of(tmp_path / "t.csv")
    assert (header, form.delimiter, form.decimal) == (["Structure (SMILES)", "IC50 [nM]"], ";", ",")
    assert rows[1].cells == ["CC", ">2,5"]


def test_the_delimiter_of_the_user_wins(tmp_path):
    (tmp_path / "t.csv").write_text("a,b;c\n1,2;3\n")
    assert rows_of(tmp_path / "t.csv", delimiter=";")[0] == ["a,b", "c"]


def test_a_gzip_is_known_by_its_content_and_not_by_its_name(tmp_path):
    (tmp_path / "t.csv").write_bytes(gzip.compress(b"smiles,y\nC,1\n"))
    assert rows_of(tmp_path / "t.csv")[2][0].cells == ["C", "1"]


def test_a_table_without_a_header_loses_no_row(tmp_path):
    (tmp_path / "t.csv").write_text("CCO,1.5\nCC(=O)O,2\n")
    header, form, rows = rows_of(tmp_path / "t.csv")
    assert (header, form.header, len(rows)) == (["column_1", "column_2"], False, 2)
    (tmp_path / "t.csv").write_text("smiles,1,2\nCCO,0,1\n")
    assert rows_of(tmp_path / "t.csv")[0] == ["smiles", "1", "2"]


def test_a_row_of_another_length_and_a_nul_byte_are_named_and_kept(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"smiles,y\nC\nCC,1,2\nC\0C,1\n\nCCC,3\n")
    rows = rows_of(tmp_path / "t.csv")[2]
    assert [(row.line, row.problem[:23]) for row in rows] == [
        (2, "the row has 1 cells, th"),
        (3, "the row has 3 cells, th"),
        (4, "the row has a NUL byte"),
        (6, ""),
    ]
    assert {len(row.cells) for row in rows} == {2}


def test_standard_input_is_read_without_seeking(monkeypatch):
    class Pipe(io.BytesIO):
        def seek(self, *_):
            raise OSError("a pipe")

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Pipe(gzip.compress(b"smiles;y\nC;1\n"))))
    header, form, rows = rows_of("-")
    assert (header, form.delimiter, form.compression, rows[0].cells) == (["smiles", "y"], ";", "gzip", ["C", "1"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b'smiles,y\n"C,1\nCC,2\n', "line 2: a quote is opened"),
        (b"smiles,smiles\nC,1\n", "more than once"),
        (gzip.compress(b"smiles,y\n" * 999, mtime=0)[:-20], "damaged"),
        (b"PAR1", "Parquet"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, content, said):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        rows_of(tmp_path / "t.csv")
    assert "\n" not in str(caught.value)


def test_a_line_without_end_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "LONGEST_LINE", 1000)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"smiles,y\nC," + b"1" * 10**6))
    with pytest.raises(ValueError, match="line 2 has more than 1,000 characters"):
        rows_of(tmp_path / "t.csv.gz")


def test_a_table_is_written_whole_or_not_at_all_and_its_folder_is_made(tmp_path):
    path = tmp_path / "new" / "t.csv"
    with open_writer(path, ["a"]) as writer:
        writer.write(["1"])
    with pytest.raises(KeyError), open_writer(path, ["a"]):
        raise KeyError
    assert path.read_text() == "a\n1\n"
    assert [file.name for file in path.parent.iterdir()] == ["t.csv"]


def test_a_name_that_promises_another_format_is_refused_before_the_work(tmp_path):
    with pytest.raises(ValueError, match=r"choose \.csv"), open_writer(tmp_path / "t.json", ["a"]):
        pass
