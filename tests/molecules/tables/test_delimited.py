import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from molgraph.molecules.tables.delimited import delimited_rows

PATH = Path("table.csv")
CELL = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=8)


def read(text, delimiter=","):
    return list(delimited_rows(io.StringIO(text, newline=""), PATH, delimiter))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('smiles,y\nC,1\n"CC,2\nCCC,3\nC"C,4\n', 3),  # closed in the middle of a cell
        ('smiles,y\nC,1\nCC,"2\nCCC,3\n', 3),  # never closed
        ('smiles,y\nC,1\nCC,"2\nCCC,3\nCCCC,4"\nC,5\n', 3),  # closed rows later
        ('smiles\nC\n"CC\nCCC\nCCCC\n', 3),  # a single column
    ],
)
def test_a_quote_that_swallows_rows_is_an_error_that_names_its_line(text, line):
    with pytest.raises(ValueError, match=rf"table.csv, line {line}: a quote is opened"):
        read(text)


def test_a_cell_may_hold_line_breaks_commas_and_quotes():
    text = 'smiles,note,y\nC,"first line\nsecond line",1\nCC,"a ""quote"", twice",2\n'
    assert read(text)[1:] == [(2, ["C", "first line\nsecond line", "1"]), (4, ["CC", 'a "quote", twice', "2"])]


def test_a_quote_inside_a_cell_is_a_character_like_any_other():
    assert read('name,y\n4" pipe,1\n')[1] == (2, ['4" pipe', "1"])


@given(
    st.lists(st.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=20), st.sampled_from([",", ";", "\t", "|"])
)
def test_every_row_that_is_written_comes_back_or_is_refused(rows, delimiter):
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows(rows)
    try:
        found = [cells for _, cells in read(file.getvalue(), delimiter)]
    except ValueError as error:
        assert "a quote is opened" in str(error)
    else:
        assert found == rows
