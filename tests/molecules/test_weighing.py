"""Weights of a committee: the best of all mixtures, drawn to the plain mean, and judged on other molecules."""

import numpy as np
import pytest
import torch

from molgraph.molecules.weighing import Weighing, combined_of, mixture


def test_the_mixture_is_the_best_of_all_mixtures():
    generator = torch.Generator().manual_seed(0)
    wanted = torch.randn(200, generator=generator, dtype=torch.float64)
    noise = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    outputs = wanted[:, None] + noise * torch.tensor([0.3, 0.5, 2.0])
    pull = 0.1 * 200 * (wanted - outputs.mean(1)).square().mean()

    def error(weights):
        missed = (wanted - outputs @ weights).square().sum()
        return float(missed + pull * (weights - 1 / 3).square().sum())

    found = mixture(outputs, wanted)
    grid = [
        torch.tensor([a, b, 1 - a - b]).double() for a in np.linspace(0, 1, 101) for b in np.linspace(0, 1 - a, 101)
    ]
    assert float(found.sum()) == pytest.approx(1)
    assert found.min() >= 0
    assert error(found) <= min(map(error, grid)) + 1e-6


def test_equal_members_weigh_the_same():
    wanted = torch.arange(30, dtype=torch.float64)
    outputs = (wanted + 1)[:, None].expand(-1, 4)
    torch.testing.assert_close(mixture(outputs, wanted), torch.full((4,), 0.25, dtype=torch.float64))


def test_where_a_member_is_silent_the_others_speak():
    said = torch.tensor([[[1.0], [1.0]], [[3.0], [torch.nan]]])
    combined = combined_of(said, torch.tensor([0.25, 0.75]), two_classes=False)
    torch.testing.assert_close(combined, torch.tensor([[2.5], [1.0]]))


def test_where_nobody_speaks_nothing_is_said():
    said = torch.full((2, 1, 1), torch.nan)
    assert combined_of(said, torch.tensor([0.5, 0.5]), two_classes=False).isnan().all()


def test_the_weights_of_a_fold_come_from_the_other_folds():
    wanted = torch.randn(60, 1, generator=torch.Generator().manual_seed(0))
    fold = np.arange(60) % 2
    wrong = torch.from_numpy(np.where(fold == 0, 5.0, 0.0)).float()[:, None]
    said = torch.stack([wanted + wrong, wanted + 5 - wrong])  # each knows one fold
    nested = Weighing(said, wanted, "regression").nested(fold)
    assert (nested - wanted).abs().min() > 3  # whoever was right in one fold is wrong in the other
