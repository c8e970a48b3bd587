import numpy as np
import pytest
import torch

from molgraph.sequences.evaluation.pictures import (
    draw_asked_and_got,
    draw_attention,
    draw_distributions,
    draw_gradients,
    draw_token_map,
)
from molgraph.sequences.layers.cells import make_cell
from molgraph.sequences.layers.rnn import gradient_through_time


def is_png(path):
    return path.read_bytes()[:4] == b"\x89PNG"


def test_an_attention_map_has_its_tokens_on_its_axes(tmp_path):
    figure = draw_attention(np.eye(3, 4), list("CCOC"), ["C", "Cl", "O"], tmp_path / "map.png", "title")
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == list("CCOC")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["C", "Cl", "O"]
    assert is_png(tmp_path / "map.png")


def test_asked_against_got_says_how_good_it_is(tmp_path):
    values = np.linspace(0, 1, 10)
    figure = draw_asked_and_got(values, values, "logp", {"r2": 1.0, "mae": 0.0}, tmp_path / "asked.png")
    assert "R² 1.00" in figure.axes[0].get_title()
    assert is_png(tmp_path / "asked.png")
    figure = draw_asked_and_got(np.full(10, 0.5), values, "logp", {"mae": 0.25}, tmp_path / "one.png")
    assert figure.axes[0].get_title() == "MAE 0.25, n = 10"
    assert figure.axes[0].lines[0].get_xdata()[0] == 0.5


@pytest.mark.parametrize("names", [["logp"], ["logp", "qed"]])
def test_distributions_have_one_panel_a_property(tmp_path, names):
    random = np.random.default_rng(0)
    figure = draw_distributions(
        random.normal(size=(50, len(names))), random.normal(size=(60, len(names))), names, tmp_path / "d.png"
    )
    assert len(figure.axes) == len(names)
    assert is_png(tmp_path / "d.png")


def test_gradients_are_drawn_one_curve_a_cell(tmp_path):
    x = torch.randn(2, 20, 4)
    norms = {name: gradient_through_time(make_cell(name, 4, 8), x).numpy() for name in ("rnn", "lstm")}
    figure = draw_gradients(norms, tmp_path / "gradients.png")
    assert len(figure.axes[0].lines) == 2
    assert is_png(tmp_path / "gradients.png")


@pytest.mark.parametrize("shape", [(3, 5, 5), (1, 1, 5)])
def test_a_token_map_has_a_panel_for_each_layer(tmp_path, shape):
    weights = np.random.default_rng(0).normal(size=shape)
    figure = draw_token_map(list("CCOCC"), weights, tmp_path / "map.png", "title")
    panels = [axes for axes in figure.axes if axes.get_images() and axes.get_xticklabels()]
    assert [label.get_text() for label in panels[0].get_xticklabels()] == list("CCOCC")
    assert len([axes for axes in panels if len(axes.get_xticklabels()) == 5]) >= shape[0]
    assert (tmp_path / "map.png").stat().st_size > 1000
