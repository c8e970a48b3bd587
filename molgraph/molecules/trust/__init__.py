"""How far a prediction can be trusted: ``training molecules -> neighbors -> expected error -> calibrated interval``."""

from molgraph.molecules.trust.judgement import Trust, Verdict
from molgraph.molecules.trust.neighbors import Neighbors

__all__ = ["Neighbors", "Trust", "Verdict"]
