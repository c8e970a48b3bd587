from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from molgraph.particles.geometry.space import Box
from molgraph.particles.models.grid import LONGEST, REACH, Convolution, GridContext, lay_grid
from molgraph.particles.models.state import stack_states
from molgraph.training.config import OptimizerConfig
from molgraph.training.optim import build_optimizer

INF = float("inf")
BOXES = [
    Box((0, 0), (1, 1)),
    Box((0, 0), (1, 1), (True, False)),
    Box((0, -INF), (INF, 1)),
    Box.open(2),
    Box((0, 0, 0), (1, 1, 1)),
]


@pytest.fixture
def context():
    torch.manual_seed(0)
    module = GridContext(16, 2)
    torch.nn.init.normal_(module.read.weight)
    return module


def latents(state):
    return torch.randn(len(state.positions), 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def at(make_state):
    def place(places, box):
        state = make_state(len(places))
        still = torch.tensor(places, dtype=torch.float64)[:, None]
        return replace(state, positions=still.expand(-1, state.positions.shape[1], -1), box=box)

    return place


@pytest.mark.parametrize("box", BOXES)
def test_what_particles_give_to_the_grid_is_all_there(make_state, box):
    state = make_state(box=box, dtype=torch.float64)
    values = torch.randn(30, 4, dtype=torch.float64)
    spread = lay_grid(state, 0.13).spread(values)
    torch.testing.assert_close(spread.flatten(2).sum((0, 2)), values.sum(0))


@pytest.mark.parametrize("dim", [2, 3])
def test_a_linear_field_is_sampled_exactly(make_state, dim):
    box = Box((0.0,) * dim, (1.0,) * dim)
    state = make_state(box=box, inside=0.05, dtype=torch.float64)
    grid, now = lay_grid(state, 0.1), state.positions[:, -1]
    first = torch.full((dim,), -1.0, dtype=torch.float64)
    axes = torch.meshgrid(*(0.1 * (f + torch.arange(n)) for f, n in zip(first, grid.shape, strict=True)), indexing="ij")
    torch.testing.assert_close(grid.sample(torch.stack(axes)[None]), now)


def test_sampling_is_the_transpose_of_spreading(make_state):
    grid = lay_grid(stack_states([make_state(12), make_state(20, seed=1)]), 0.2)
    values, field = torch.randn(32, 3), torch.randn(2, 3, *grid.shape)
    torch.testing.assert_close((grid.spread(values) * field).sum(), (values * grid.sample(field)).sum())


def test_padding_goes_around_periodic_axes_and_adds_zeros_to_others(make_state):
    grid = lay_grid(make_state(box=Box((0, 0), (1, 1), (True, False))), 0.1)
    field = torch.randn(2, 3, *grid.shape)
    expected = F.pad(F.pad(field, (0, 0, 2, 2), mode="circular"), (2, 2))
    assert torch.equal(grid.pad(field, 2), expected)
    tiny = lay_grid(make_state(box=Box((0, 0), (1, 1), (True, True))), 3.0)
    assert tiny.shape == (1, 1)
    assert torch.equal(tiny.pad(torch.ones(1, 1, 1, 1), 2), torch.ones(1, 1, 5, 5))


@pytest.mark.parametrize(("dim", "dilation"), [(2, 1), (2, 2), (3, 1), (3, 2)])
def test_a_convolution_is_a_linear_layer_over_the_nodes_around(dim, dilation):
    module, field = Convolution(dim, 4, 5, dilation), torch.randn(2, 4, *[7] * dim)
    around = field
    for axis in range(2, 2 + dim):
        around = around.unfold(axis, 2 * dilation + 1, 1)[..., ::dilation]
    expected = module.kernel(around.movedim(1, 1 + dim).flatten(1 + dim)).movedim(-1, 1)
    torch.testing.assert_close(module(field), expected, atol=1e-5, rtol=1e-5)


def test_muon_takes_the_kernels_for_the_matrices_that_they_are():
    optimizer = build_optimizer(GridContext(16, 2), OptimizerConfig(name="muon"))
    turned = [tuple(p.shape) for p in optimizer.param_groups[-1]["params"]]
    assert turned.count((32, 9 * 32)) == 6 and turned.count((32, 9 * 34)) == 1


def test_groups_do_not_see_each_other(context, make_state):
    states = [make_state(12), make_state(20, seed=1)]
    both = stack_states(states)
    together = context(latents(both), lay_grid(both, 0.2))
    parts = latents(both).split([12, 20])
    alone = [context(part, lay_grid(state, 0.2)) for part, state in zip(parts, states, strict=True)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-4)


def test_walls_matter_as_far_as_the_convolutions_see_and_empty_space_does_not(context, make_state):
    def told(box):
        return context(latents(state), lay_grid(replace(state, box=box), 0.04))

    state = make_state(inside=0.41, dtype=torch.float64)
    expected = told(Box((0, 0), (1, 1)))
    for box in (Box((-2, 0), (5, 3)), Box((0, -8), (1, 1)), Box.open(2)):
        torch.testing.assert_close(told(box), expected)
    assert not torch.allclose(told(Box((0.2, 0), (1, 1))), expected)


def test_moving_everything_by_whole_cells_changes_nothing(context, make_state):
    state = make_state(box=Box((0, 0), (1, 1), (True, True)), dtype=torch.float64)
    moved = replace(state, positions=state.box.wrap(state.positions + torch.tensor([0.3, 0.8])))
    torch.testing.assert_close(
        context(latents(state), lay_grid(moved, 0.1)), context(latents(state), lay_grid(state, 0.1))
    )


def test_the_mirror_image_has_the_grid_in_the_mirror(at):
    state = at([[0.21, 0.5], [0.4, 0.6]], Box((0, 0), (1, 1)))
    mirrored = at([[0.79, 0.5], [0.6, 0.6]], state.box)
    values = torch.randn(2, 3, dtype=torch.float64)
    spread = [lay_grid(s, 0.13).spread(values) for s in (state, mirrored)]
    torch.testing.assert_close(spread[0].flip(2), spread[1])


def test_far_particles_are_told_of_each_other(context, at):
    state = at([[0.1 * i, 0.5] for i in range(9)], Box((0, 0), (1, 1)))
    nodes = latents(state).requires_grad_()
    context(nodes, lay_grid(state, 0.1))[0].sum().backward()
    assert nodes.grad[8].abs().max() > 1e-7  # eight nodes away


def test_what_lies_far_outside_an_open_box_does_not_fill_the_memory(context, at):
    state = at([[0.5, 0.5], [1e9, 0.5], [float("nan"), 0.5]], Box.open(2))
    grid = lay_grid(state, 0.1)
    assert max(grid.shape) <= LONGEST + 2 * (REACH + 1) and torch.isfinite(context(latents(state), grid)).all()


def test_a_particle_that_enters_a_cell_changes_the_context_continuously(context, at):
    def first(place):
        state = at([[0.25, 0.5], [place, 0.5]], Box((0, 0), (1, 1)))
        return context(latents(state), lay_grid(state, 0.1))[0]

    assert (first(0.4 + 1e-7) - first(0.4 - 1e-7)).norm() < 1e-3 * (first(0.4) - first(0.35)).norm()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_tells_the_same(context, make_state):
    state = make_state(box=Box((0, 0), (1, 1), (True, False)))
    expected = context(latents(state), lay_grid(state, 0.1))
    on_gpu = context.cuda()(latents(state).cuda(), lay_grid(state.to("cuda"), 0.1))
    torch.testing.assert_close(on_gpu.cpu(), expected, atol=5e-3, rtol=5e-3)  # convolutions in TF32
