import pytest

from molgraph.particles.learning.settings import SpaceConfig, WindowConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, r"task.windows.batch_size is 0; it has to be at least 1"),
        ({"steps_per_epoch": 0}, "steps_per_epoch"),
        ({"validation_steps": 0}, "validation_steps"),
        ({"validation_starts": 0}, "validation_starts"),
        ({"unrolls": []}, r"task.windows.unrolls is \[\]"),
        ({"unrolls": [1, -1]}, r"unrolls is \[1, -1\]"),
        ({"unrolls": [0, 0]}, "not all of them 0"),
        ({"emphasis": 1.5}, "emphasis is 1.5"),
        ({"reflect": "no"}, "reflect has to be of type bool"),
        ({"window": 3}, "task.windows has no key 'window'"),
    ],
)
def test_windows_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        WindowConfig.of(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"radius": 0.0}, "task.space.radius is 0.0"),
        ({"radius": "far"}, "radius is 'far'"),
        ({"history": 0}, "task.space.history is 0; it has to be at least 1"),
        ({"history": "long"}, "history has to be of type int"),
        ({"noise": -0.1}, "task.space.noise is -0.1"),
        ({"noises": 0.1}, "task.space has no key 'noises'"),
    ],
)
def test_spaces_that_cannot_be_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        SpaceConfig.of(values)


def test_lists_of_a_configuration_become_tuples():
    assert WindowConfig.of({"unrolls": [18, 2, 1]}).unrolls == (18, 2, 1)
    assert SpaceConfig.of({"radius": None}).radius is None
