from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from molgraph.particles.geometry.space import Box
from molgraph.particles.models.contact import CHAIN, find_contact

RADIUS = 0.2
ROOM = Box((0, 0), (9, 9))


@pytest.fixture
def contact_of(make_state):
    """The contact of still particles at ``places``, all of which may be given a velocity per frame."""

    def find(places, velocity=(0.0, 0.0), kinematic=(), box=ROOM):
        places = torch.tensor(places, dtype=torch.float64)
        path = places[:, None] - torch.tensor(velocity).double() * torch.arange(3.0, -1, -1).double()[None, :, None]
        state = make_state(len(places), dtype=torch.float64)
        held = torch.zeros(len(places), dtype=torch.bool)
        held[list(kinematic)] = True
        state = replace(state, positions=path, kinematic=held, gravity=torch.zeros(len(places), 2).double(), box=box)
        edges = state.edges(RADIUS)
        vector = (places[edges.src] - places[edges.dst]) / RADIUS
        return find_contact(state, vector, edges, RADIUS)

    return find


def test_nearness_is_one_at_a_wall_and_zero_at_the_radius(contact_of):
    own = contact_of([[0.05, 8.9], [4, 0.2], [4, 4], [4, -0.1]]).own[:, 0]
    expected = [[0.75, 0, 0, 0.5], [0, 0, 0, 0], [0, 0, 0, 0], [0, 1.5, 0, 0]]  # left, lower, right, upper
    torch.testing.assert_close(own, torch.tensor(expected, dtype=torch.float64))


def test_a_body_knows_what_its_nearest_particle_knows(contact_of):
    column = [[4, 0.05 + 0.15 * step] for step in range(CHAIN + 4)]
    below = contact_of([*column, [5, 1]]).body[:, 0, 1]
    assert below[: CHAIN + 1].tolist() == pytest.approx([0.75] * (CHAIN + 1))
    assert below[CHAIN + 1 :].max() == 0


def test_a_body_that_falls_apart_lets_go_smoothly(contact_of):
    def top(gap):
        return float(contact_of([[4, 0.1], [4, 0.1 + gap]]).touch[1, 0])

    gaps = torch.linspace(0.15, 0.21, 200).tolist()
    touches = [top(gap) for gap in gaps]
    assert touches[0] == 1 and touches[-1] == 0
    assert max(abs(a - b) for a, b in pairwise(touches)) < 0.05


def test_a_wall_is_met_where_free_flight_leads(contact_of):
    flying = contact_of([[4, 0.3], [4, 0.45]], velocity=(0, -0.25))
    assert flying.own[:, 0].max() == 0 and flying.own[0, 1, 1] == pytest.approx(0.75)
    assert flying.touch.tolist() == [[1.0], [1.0]]
    assert contact_of([[4, 0.3], [4, 0.45]], velocity=(0, 0.25)).touch.max() == 0


@pytest.mark.parametrize("box", [ROOM, Box.open(2)])
def test_obstacles_are_met_through_neighbours(contact_of, box):
    found = contact_of([[4, 4], [4.15, 4], [4.3, 4], [6, 4]], kinematic=[0], box=box)
    assert found.obstacle[:, 0].tolist() == [1, 1, 1, 0]


def test_a_period_has_no_walls(contact_of):
    assert contact_of([[0.01, 0.01]], box=Box((0, 0), (9, 9), (True, True))).touch.max() == 0
