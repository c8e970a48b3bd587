import numpy as np
from matplotlib.figure import Figure

from molgraph.particles.geometry.space import Box
from molgraph.particles.rollout.plots import _energy, _errors

BOX = Box((0, 0), (9, 9))


def test_curves_begin_with_the_first_step():
    truth = np.zeros((4, 1, 2))
    predicted = truth + np.arange(4.0)[:, None, None] ** 2 * [1.0, 0.0]
    axes = Figure().subplots(1, 2)
    _errors(axes[0], {"truth": truth, "prediction": predicted}, BOX)
    _energy(axes[1], {"prediction": predicted}, BOX)
    for axis, expected in zip(axes, ([1, 16, 81], [0.5, 4.5, 12.5]), strict=True):
        (line,) = axis.lines
        np.testing.assert_allclose(line.get_xydata(), np.stack([[1, 2, 3], expected], axis=1))
