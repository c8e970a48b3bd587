import math

import pytest
import torch

from molgraph.particles.geometry.space import Box


def test_the_displacement_is_the_shortest_image():
    box = Box((0, -1, 2), (1, 1, 6), (True, False, True))
    a, b = torch.rand(2, 50, 3, dtype=torch.float64) * torch.tensor([1.0, 2.0, 4.0]) + torch.tensor([0.0, -1.0, 2.0])
    shifts = [torch.tensor([i, 0, 4.0 * k]) for i in (-1, 0, 1) for k in (-1, 0, 1)]
    images = torch.stack([(a - b + shift).norm(dim=1) for shift in shifts])
    torch.testing.assert_close(box.displacement(a, b).norm(dim=1), images.amin(dim=0))


def test_wrapping_keeps_open_axes_and_returns_inside_on_periodic_ones():
    box = Box((0, 0), (1, 1), (True, False))
    wrapped = box.wrap(torch.tensor([[-0.25, -0.25], [1.0, 3.0], [-1e-12, 0.5]]))
    torch.testing.assert_close(wrapped, torch.tensor([[0.75, -0.25], [0.0, 3.0], [0.0, 0.5]]))
    assert (wrapped[:, 0] < 1).all()


def test_wall_distances_are_per_axis_and_only_where_there_is_a_wall():
    box = Box((0, 0), (1, 4), (False, True))
    torch.testing.assert_close(box.wall_distances(torch.tensor([[0.2, 9.0]])), torch.tensor([[0.2, 0.8]]))
    assert Box.open(3).wall_distances(torch.rand(4, 3)).shape == (4, 0)
    half = Box((0, -math.inf), (math.inf, math.inf))
    assert half.walls == ((0, 0.0, 1.0),)


def test_clamped_positions_are_never_outside():
    box = Box((0, 0), (1, 1))
    positions = torch.randn(100, 2) * 3
    assert box.outside(positions).max() > 0
    assert box.outside(box.clamp(positions)).max() == 0


@pytest.mark.parametrize(
    ("lower", "upper", "periodic", "message"),
    [
        ((0, 0), (1,), (), "per axis"),
        ((0,), (1,), (), "2 or 3 dimensions"),
        ((0, 1), (1, 1), (), "axis 1 is empty"),
        ((0, 0), (1, math.inf), (False, True), "periodic and needs finite"),
    ],
)
def test_a_wrong_box_is_named(lower, upper, periodic, message):
    with pytest.raises(ValueError, match=message):
        Box(lower, upper, periodic)
