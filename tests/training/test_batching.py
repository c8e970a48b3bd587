"""Groups of similar size: each row once, and hardly any padding."""

import numpy as np
import pytest

from molgraph.training.batching import groups_of_similar_size


@pytest.mark.parametrize(("rows", "group", "pool"), [(1000, 16, 128), (1003, 16, 128), (5, 16, 128), (0, 4, 8)])
def test_each_row_is_in_one_group_and_a_group_is_alike(rows, group, pool):
    random = np.random.default_rng(0)
    sizes = random.integers(1, 100, rows)
    shuffled = random.permutation(rows)

    groups = groups_of_similar_size(shuffled, sizes, group, pool)

    assert sorted(np.concatenate([*groups, np.zeros(0, np.int64)]).tolist()) == list(range(rows))
    assert all(len(chosen) <= group for chosen in groups)
    assert all((np.diff(sizes[chosen]) >= 0).all() for chosen in groups)
    if rows >= 1000:
        spread = np.mean([np.ptp(sizes[chosen]) for chosen in groups])
        assert spread < 0.3 * np.mean([np.ptp(sizes[shuffled[i : i + group]]) for i in range(0, rows, group)])
