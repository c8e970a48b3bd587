"""Particle sets by name: what is said of them."""

import io
import shutil

from rich.console import Console

from molgraph.particles.data.named import print_set
from molgraph.particles.data.trajectory import ParticleSet


def test_brackets_in_the_folder_of_a_set_are_printed(particles, tmp_path):
    folder = tmp_path / "a[bold]b"
    shutil.copytree(particles, folder)
    shown = io.StringIO()
    print_set(ParticleSet.open(folder), Console(file=shown, width=300))
    assert str(folder) in shown.getvalue()
