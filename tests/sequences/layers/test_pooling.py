import pytest
import torch

from molgraph.sequences.layers.pooling import POOLINGS, Pooling
from molgraph.sequences.text.batch import Memory


def memory(padding=0):
    torch.manual_seed(0)
    states = torch.cat([torch.randn(2, 5, 8), torch.full((2, padding, 8), 9.0)], 1)
    return Memory(states, torch.arange(5 + padding) < torch.tensor([5, 3])[:, None], torch.ones(2, 8))


@pytest.mark.parametrize("kind", POOLINGS)
def test_padding_has_no_part_in_it(kind):
    pool = Pooling(kind, 8)
    assert pool(memory()).shape == (2, 8)
    torch.testing.assert_close(pool(memory(4)), pool(memory()))


def test_each_pooling_is_what_its_name_says():
    states = memory().states
    torch.testing.assert_close(Pooling("mean", 8)(memory())[1], states[1, :3].mean(0))
    torch.testing.assert_close(Pooling("max", 8)(memory())[1], states[1, :3].amax(0))
    assert torch.equal(Pooling("last", 8)(memory()), memory().summary)
    pool = Pooling("attention", 8)
    weights = pool.weights(memory(4))
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    torch.testing.assert_close(pool(memory())[1], weights[1, :3] @ states[1, :3])


def test_weights_of_a_mean_and_unknown_poolings_are_refused():
    with pytest.raises(ValueError, match="pooling=mean has no weights"):
        Pooling("mean", 8).weights(memory())
    with pytest.raises(ValueError, match="unknown pooling 'sum'"):
        Pooling("sum", 8)
