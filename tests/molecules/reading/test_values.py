"""Cells as people write them become the numbers that they mean, or a reason."""

import numpy as np
import pytest

from molgraph.molecules.reading.values import is_measured, labels_of, read_numbers, words_of


@pytest.mark.parametrize(
    ("cell", "value", "bound"),
    [
        ("1.5", 1.5, 0),
        ("-3e-12", -3e-12, 0),
        ("+7", 7, 0),
        (".5", 0.5, 0),
        ("\u22122.5", -2.5, 0),  # the minus sign of typographers
        (">50", 50, 1),
        (">= 50", 50, 1),
        ("≥50", 50, 1),
        ("<0.1", 0.1, -1),
        ("≤ 0.1", 0.1, -1),
        ("~3", 3, 0),
        ("ca. 3", 3, 0),
        ("=3", 3, 0),
        ("1.2 ± 0.3", 1.2, 0),
        ("1.2+/-0.3", 1.2, 0),
        ("85%", 85, 0),
    ],
)
def test_a_cell_is_read_as_it_was_meant(cell, value, bound):
    read = read_numbers([cell])
    assert (read.values[0], read.bounds[0], read.problems) == (value, bound, {})


@pytest.mark.parametrize("cell", ["", "NA", "n.d.", "N/A", "-", "--", "?", "NaN", "null", "not determined", "#N/A"])
def test_what_was_not_measured_is_missing_and_no_problem(cell):
    read = read_numbers([cell])
    assert np.isnan(read.values[0])
    assert read.problems == {}


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("2021-03-04", "a date"),
        ("04/03/2021", "a date"),
        ("12-Mar-21", "a date"),
        ("Mar-21", "a date"),
        ("1-5", "a range"),
        ("50 nM", "with a unit"),
        ("inf", "not a finite number"),
        ("1e999", "not a finite number"),
        ("1_000", "not a number"),
        ("soluble", "not a number"),
        ("1.2.3", "not a number"),
        ("\u0661", "not a number"),  # a digit of another script, which Python's float reads
    ],
)
def test_anything_else_has_a_reason(cell, reason):
    read = read_numbers([cell])
    assert np.isnan(read.values[0])
    assert reason in read.problems[0]


@pytest.mark.parametrize(
    ("cells", "decimal", "values"),
    [
        (["1,5", "2,25"], "auto", [1.5, 2.25]),
        (["1.234,5", "2,5"], "auto", [1234.5, 2.5]),
        (["1,234.5", "2.5"], "auto", [1234.5, 2.5]),
        (["1,234,567", "2,000"], "auto", [1234567, 2000]),
        (["1,234", "0.5"], "auto", [1234, 0.5]),
        (["1,234", "7,5"], "auto", [1.234, 7.5]),
        (["1,234"], "point", [1234]),
        (["1,234"], "comma", [1.234]),
        ([">1,5"], "auto", [1.5]),
    ],
)
def test_what_a_comma_means_is_told_by_the_column_or_the_user(cells, decimal, values):
    read = read_numbers(cells, decimal)
    assert read.values.tolist() == values
    assert any("is read as" in note for note in read.notes)


def test_labels_and_words_are_found_and_numbers_are_none():
    assert labels_of(["Active", "inactive", "-", "n.d."]) == ("inactive", "active")
    assert labels_of(["+", "-"]) == ("-", "+")
    assert words_of(["a", "b"] * 3) == ["a", "b"]
    assert words_of(["1", "2"] * 3) == words_of([">1", "<2"] * 3) == words_of(["a", "b", "c"]) == []


def test_a_column_that_counts_the_rows_is_not_measured():
    assert not is_measured(["1", "2", "3", "4"])
    assert is_measured(["1", "3", "2", "4"])
    assert is_measured(["1.5", "n.d.", ">3"])
    assert not is_measured(["", "n.d."])
    assert not is_measured(["a", "b", "c"])
