"""Scales and the way back: against values that a chemist knows."""

import numpy as np
import pytest

from molgraph.molecules.reading.table import Source, read_table
from molgraph.molecules.reading.transforms import make_transform, molar_unit


@pytest.mark.parametrize(
    ("column", "value", "expected", "name"),
    [
        ("IC50 [nM]", 100.0, 7.0, "pIC50"),
        ("Ki_uM", 0.01, 8.0, "pKi"),
        ("EC50 (mM)", 1.0, 3.0, "pEC50"),
        ("Kd [pM]", 1.0, 12.0, "pKd"),
        ("IC50 (M)", 1e-9, 9.0, "pIC50"),
        ("IC50 (nmol/L)", 100.0, 7.0, "pIC50"),
    ],
)
def test_a_concentration_becomes_its_negative_logarithm_and_comes_back(column, value, expected, name):
    change = make_transform("p", column)
    assert change.name == name
    assert change.forward(np.array([value]))[0] == pytest.approx(expected)
    assert change.back(expected) == pytest.approx(value)


def test_without_a_unit_the_user_is_asked_for_it():
    with pytest.raises(ValueError, match=r"say data\.unit=nM"):
        make_transform("p", "IC50")
    assert make_transform("p", "IC50", "nM").power == 9
    assert molar_unit("Album") == molar_unit("M") == molar_unit("logM") == ""


def test_a_bound_turns_with_the_scale_and_what_has_no_logarithm_is_named(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("smiles,IC50 [nM]\nC,>1000\nCC,<10\nCCC,100\nCCCC,0\n")
    table = read_table(Source(path=str(path), targets=["IC50 [nM]"], transform="p"))
    assert table.values[:, 0].tolist() == pytest.approx([6, 8, 7])
    assert table.bounds[:, 0].tolist() == [-1, 1, 0]
    assert (table.targets[0].name, table.rejected[0].row) == ("pIC50", 5)
    assert "needs a positive value" in table.rejected[0].reason
