import pytest
import torch
from torch import nn

from molgraph.nn.graph import Features
from molgraph.nn.mlp import FeatureLinear, mlp, normalization


def test_a_perceptron_has_as_many_linear_layers_as_asked():
    assert sum(isinstance(module, nn.Linear) for module in mlp(3, 8, 2, layers=4)) == 4
    assert mlp(3, 8, 2, layers=1)(torch.ones(5, 3)).shape == (5, 2)


def test_a_linear_layer_on_repeated_rows_multiplies_the_table():
    table, index = torch.randn(3, 4), torch.tensor([2, 0, 2, 1])
    layer = FeatureLinear(4, 5)
    expected = nn.functional.linear(table[index], layer.weight, layer.bias)
    torch.testing.assert_close(layer(Features(table, index)), expected)
    torch.testing.assert_close(layer(Features(table[index])), expected)


def test_an_unknown_normalization_names_those_that_there_are():
    with pytest.raises(ValueError, match="normalization='group' is unknown; use one of batch, layer, none"):
        normalization("group", 4)


def test_batch_normalization_learns_from_a_single_row_too():
    layer = normalization("batch", 4).train()
    assert layer(torch.randn(1, 4)).isfinite().all()
    assert layer(torch.randn(0, 4)).shape == (0, 4)
