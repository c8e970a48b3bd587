"""Molecules to properties: ``GraphBatch -> encoder -> readout -> head``, or ``fingerprint -> trees | ridge``."""

from molgraph.molecules.models.attribution import (
    ATTENTION,
    Explanation,
    NoAttention,
    TokenMap,
    evaluating,
    gradient_times_input,
)
from molgraph.molecules.models.encoders import build_encoder
from molgraph.molecules.models.medchem import judge_molecules
from molgraph.molecules.models.predictor import Predictor

__all__ = [
    "ATTENTION",
    "Explanation",
    "NoAttention",
    "Predictor",
    "TokenMap",
    "build_encoder",
    "evaluating",
    "gradient_times_input",
    "judge_molecules",
]
