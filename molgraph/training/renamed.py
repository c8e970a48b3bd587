"""Names of earlier versions, so that an old run folder still loads: ``old _target_ -> today's``."""

MOVED = {
    "molgraph.molecules.baselines": "molgraph.molecules.models.baselines",
    "molgraph.molecules.encoders": "molgraph.molecules.models.encoders",
    "molgraph.molecules.predictor": "molgraph.molecules.models.graph_predictor",
    "molgraph.molecules.trees": "molgraph.molecules.models.trees",
    "molgraph.particles.conservative": "molgraph.particles.models.conservative",
    "molgraph.particles.conservative_grid": "molgraph.particles.models.conservative_grid",
    "molgraph.particles.flow_scenes": "molgraph.particles.solvers.flow_scenes",
    "molgraph.particles.md": "molgraph.particles.solvers.md",
    "molgraph.particles.mpm": "molgraph.particles.solvers.mpm",
    "molgraph.particles.scenes": "molgraph.particles.solvers.scenes",
    "molgraph.particles.simulate": "molgraph.particles.data.simulated",
    "molgraph.particles.simulator": "molgraph.particles.models.simulator",
    "molgraph.particles.sph": "molgraph.particles.solvers.sph",
    "molgraph.sequences.atoms": "molgraph.sequences.property.atoms",
    "molgraph.sequences.language": "molgraph.sequences.language.experiment",
    "molgraph.sequences.predictor": "molgraph.sequences.property.sequence_predictor",
    "molgraph.sequences.translation": "molgraph.sequences.translation.experiment",
    "molgraph.training.study": "molgraph.training.comparison.study",
}
"""Module of a class that a configuration named before version 0.2, and where that class lives now."""


def current_name(target: str) -> str:
    """Return today's name of what an old configuration calls ``target``.

    >>> current_name("molgraph.molecules.encoders.GCN")
    'molgraph.molecules.models.encoders.GCN'
    """
    module, _, name = target.rpartition(".")
    return f"{MOVED.get(module, module)}.{name}"
