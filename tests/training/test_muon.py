import pytest
import torch

from molgraph.training.optim import Muon, orthogonalized

SHAPES = [(32, 32), (48, 16), (16, 40), (32, 32), (16, 40)]


def matrices(shapes=SHAPES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def walk(parameters, optimizer, steps=4):
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return parameters


@pytest.mark.parametrize("shape", [(30, 30), (50, 20), (20, 50)])
def test_all_directions_become_alike_and_stay_where_they_are(shape):
    values = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(values, full_matrices=False)
    sizes = left.mT @ orthogonalized(values) @ right.mT
    diagonal = sizes.diagonal(dim1=1, dim2=2)
    assert ((diagonal > 0.3) & (diagonal < 1.3)).all() and diagonal.mean() == pytest.approx(0.9, abs=0.1)
    assert (sizes - torch.diag_embed(diagonal)).abs().max() < 1e-4


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this PyTorch has no Muon to compare with")
def test_steps_are_those_of_pytorch_but_for_its_rounding_to_bfloat16():
    ours, theirs = matrices(), matrices()
    options = {"lr": 0.1, "weight_decay": 0.3, "momentum": 0.9}
    walk(ours, Muon(ours, **options))
    walk(theirs, torch.optim.Muon(theirs, **options, adjust_lr_fn="match_rms_adamw"))
    for one, other, start in zip(ours, theirs, matrices(), strict=True):
        assert (one - other).norm() < 0.01 * (other - start).norm()


def test_a_matrix_moves_as_if_it_were_alone():
    together = matrices()
    walk(together, Muon(together))
    each = matrices()
    optimizers = [Muon([one]) for one in each]
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        for one, optimizer in zip(each, optimizers, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            optimizer.step()
    for one, other in zip(together, each, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_a_matrix_without_a_gradient_stays():
    still, moving = matrices([(16, 16), (16, 16)])
    before = still.detach().clone()
    moving.grad = torch.ones_like(moving)
    Muon([still, moving], weight_decay=0.5).step()
    assert torch.equal(still, before)


def test_a_gradient_of_zero_moves_nothing():
    (matrix,) = matrices([(16, 16)])
    before = matrix.detach().clone()
    matrix.grad = torch.zeros_like(matrix)
    Muon([matrix], weight_decay=0.0).step()
    assert torch.equal(matrix, before)
