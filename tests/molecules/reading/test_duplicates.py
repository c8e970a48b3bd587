"""Several rows of a molecule: counted, compared, averaged, voted on or refused."""

import numpy as np
import pytest

from molgraph.molecules.reading.duplicates import merge, repeats
from molgraph.molecules.reading.table import Source, read_table


def table_of(tmp_path, rows):
    path = tmp_path / "t.csv"
    path.write_text("smiles,y\n" + "".join(f"{smiles},{y}\n" for smiles, y in rows))
    table = read_table(Source(path=str(path), targets=["y"]))
    return table, ["CCO" if text == "OCC" else text for text in table.smiles]


ROWS = [("CCO", 1), ("C", 5), ("OCC", 2), ("CCO", 6), ("CC", 7)]


@pytest.mark.parametrize(("way", "value"), [("mean", 3), ("median", 2)])
def test_numbers_are_averaged_and_the_first_row_stays(tmp_path, way, value):
    table, canonical = merge(*table_of(tmp_path, ROWS), way)
    assert (canonical, table.values[:, 0].tolist(), table.lines) == (["CCO", "C", "CC"], [value, 5, 7], [2, 3, 6])


def test_kept_or_refused_as_asked(tmp_path):
    table, canonical = table_of(tmp_path, ROWS)
    assert len(merge(table, canonical, "keep")[0]) == 5
    with pytest.raises(ValueError, match="CCO stands on rows 2, 4, 5"):
        merge(table, canonical, "refuse")
    with pytest.raises(ValueError, match="use keep, mean, median or refuse"):
        merge(table, canonical, "max")


def test_classes_vote_and_a_tie_is_left_out(tmp_path):
    rows = [("CCO", 1), ("OCC", 0), ("CCO", 1), ("CC", 0), ("CC", 1), ("C", 0)]
    table, canonical = merge(*table_of(tmp_path, rows), "mean")
    assert (canonical, table.values[:, 0].tolist()) == (["CCO", "C"], [1, 0])
    assert (table.rejected[0].row, "as many each" in table.rejected[0].reason) == (5, True)


def test_exact_values_win_over_bounds_and_the_tightest_bound_over_others(tmp_path):
    rows = [("CCO", ">5"), ("OCC", 7), ("CC", ">5"), ("CC", ">9"), ("C", "<3"), ("C", "<2")]
    table, _ = merge(*table_of(tmp_path, rows), "mean")
    assert table.values[:, 0].tolist() == [7, 9, 2]
    assert table.bounds[:, 0].tolist() == [0, 1, -1]


def test_the_disagreement_is_the_pooled_standard_deviation(tmp_path):
    random = np.random.default_rng(0)
    rows = [("C" * (1 + i // 4), f"{i // 4 + random.normal(0, 0.3):.6f}") for i in range(400)]
    table, canonical = table_of(tmp_path, rows)
    found = repeats(table, canonical)
    assert (found.molecules, found.rows) == (100, 400)
    assert found.disagreement[0] == pytest.approx(0.3, rel=0.1)
