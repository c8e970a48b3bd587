import copy
import math

import pytest
import torch

from molgraph.training.config import OptimizerConfig
from molgraph.training.optim import Together, build_optimizer, learning_rate


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine(steps):
    config = OptimizerConfig(learning_rate=2.0, final_learning_rate=0.1, warmup=0.2)
    rates = [learning_rate(step, steps, config) for step in range(steps)]
    assert all(0 < rate <= 2.0 for rate in rates)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if steps == 1000:
        assert (top, rates[-1]) == (pytest.approx(199, abs=1), pytest.approx(0.2))
        assert rates[600] == pytest.approx(0.2 + 1.8 * 0.5 * (1 + math.cos(math.pi * 400 / 799)))


def test_only_matrices_decay():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    groups = build_optimizer(model, OptimizerConfig(weight_decay=0.1)).param_groups
    assert [(len(group["params"]), group["weight_decay"]) for group in groups] == [(1, 0.1), (3, 0.0)]


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(20, 32),
        torch.nn.SiLU(),
        torch.nn.Linear(32, 32),
        torch.nn.LayerNorm(32),
        torch.nn.Linear(32, 2),
    )


def train(model, optimizer, steps):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(64, 20, generator=generator)
    losses = []
    for _ in range(steps):
        loss = (model(inputs) - inputs[:, :2]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_muon_turns_hidden_matrices_and_leaves_the_rest_to_adamw():
    model = network()
    optimizer = build_optimizer(model, OptimizerConfig(name="muon"))
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 5, 2]
    before = model[2].weight.detach().clone()
    losses = train(model, optimizer, 1)
    sizes = torch.linalg.svdvals(model[2].weight.detach() - before)
    assert sizes[15] > 0.5 * sizes[0]  # half of the directions have moved alike
    losses += train(model, optimizer, 200)
    assert losses[-1] < 0.2 * losses[0]


def test_a_learning_rate_reaches_all_parts_also_after_loading():
    model = network()
    optimizer = build_optimizer(model, OptimizerConfig(name="muon"))
    train(model, optimizer, 2)
    optimizer.load_state_dict(optimizer.state_dict())
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    before = [parameter.detach().clone() for parameter in model.parameters()]
    train(model, optimizer, 2)
    assert all(map(torch.equal, before, model.parameters()))


def test_muon_goes_on_as_if_it_had_not_stopped():
    first, second = network(), network()
    config = OptimizerConfig(name="muon", weight_decay=0.1)
    one, other = build_optimizer(first, config), build_optimizer(second, config)
    train(first, one, 3)
    second.load_state_dict(first.state_dict())
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file would
    assert train(first, one, 3) == train(second, other, 3)


def test_muon_without_hidden_matrices_is_adamw():
    assert not isinstance(build_optimizer(torch.nn.Linear(3, 4), OptimizerConfig(name="muon")), Together)
