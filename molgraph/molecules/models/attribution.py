"""What a model looked at in a molecule: ``model + SMILES -> attention | gradient x input -> a weight for each atom``.

A weight says what the model used, not what is true of the molecule.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdFingerprintGenerator
from torch import Tensor, nn

from molgraph.molecules.models.fingerprints import MORGAN_BITS, MORGAN_RADIUS
from molgraph.molecules.models.substructures import around
from molgraph.molecules.reading.smiles import Standardization, parse
from molgraph.nn.graph import Features, GraphBatch
from molgraph.nn.graph_attention import AttentiveContext, GATConv, GATv2Conv
from molgraph.nn.readout import WeighingReadout

Floats = NDArray[np.float64]

ATTENTION, GRADIENT = "attention", "gradient"
WAYS = (ATTENTION, GRADIENT)
"""How a prediction can be explained."""


@dataclass(frozen=True)
class TokenMap:
    """What a sequence model looked at, token by token."""

    tokens: list[str]
    """The tokens that were read."""
    weights: Floats
    """Which token each token looked at, layer by layer ``[L, T, T]``; or one weight for each token ``[1, 1, T]``."""


@dataclass(frozen=True)
class Explanation:
    """The weight of each atom in one prediction."""

    mol: Chem.Mol
    """The molecule as the model reads it."""
    way: str
    """``attention`` (weights of at least 0) or ``gradient`` (what raises and what lowers the prediction)."""
    method: str
    """How the weights were computed, in a few words."""
    atoms: Floats
    """Weight of each atom ``[A]``."""
    bonds: Floats | None = None
    """Weight of each bond ``[bonds]``, where the model has one."""
    rest: float = 0.0
    """What the same sum gives to no atom: descriptors, brackets, ring labels."""
    tokens: TokenMap | None = None
    """Of a sequence model."""


class NoAttention(ValueError):
    """The model has no attention weights to show."""


class FingerprintModel(Protocol):
    """What an explanation needs of a baseline."""

    standardization: Standardization

    def featurizer(self) -> Any:
        """Return the function that reads SMILES."""
        ...

    def __call__(self, features: Any) -> Tensor:
        """Predict ``[B, outputs]``."""
        ...


class GraphModel(FingerprintModel, Protocol):
    """What an explanation needs of a graph predictor."""

    readout: nn.Module

    @property
    def encoder(self) -> nn.Module:
        """Graph to node rows."""
        ...


def explain_graph(model: GraphModel, smiles: str, way: str, output: int) -> Explanation:
    """Explain a graph model's prediction of one valid SMILES.

    Args:
        model: on the CPU or on a GPU.
        smiles: the molecule.
        way: ``attention`` or ``gradient``.
        output: column of the prediction, for the gradient.

    Raises:
        NoAttention: the model has no layer of attention.
    """
    mol = parse(smiles, model.standardization)
    encoded, _ = model.featurizer()([smiles])
    batch = encoded.batch([0]).to(next(model.encoder.parameters()).device)
    with evaluating(model):
        return _graph_attention(model, mol, batch) if way == ATTENTION else _graph_gradient(model, mol, batch, output)


def _graph_gradient(model: GraphModel, mol: Chem.Mol, batch: GraphBatch, output: int) -> Explanation:
    nodes, edges = (part.rows().detach().requires_grad_() for part in (batch.node_features, batch.edge_features))
    inputs = [nodes, edges]
    batch = replace(batch, node_features=Features(nodes), edge_features=Features(edges))
    if batch.graph_features is not None:
        whole = batch.graph_features.detach().requires_grad_()
        batch = replace(batch, graph_features=whole)
        inputs.append(whole)
    parts = gradient_times_input(model(batch)[0, output], inputs)
    # A bond belongs to both of its atoms.
    atoms = parts[0].index_add(0, batch.src, parts[1] / 2).index_add(0, batch.dst, parts[1] / 2)
    bonds = _by_bond(mol, batch, parts[1], torch.sum)
    rest = float(parts[2].sum()) if len(parts) > 2 else 0.0
    return Explanation(mol, GRADIENT, "gradient x input of atoms and bonds", _array(atoms), bonds, rest)


def _graph_attention(model: GraphModel, mol: Chem.Mol, batch: GraphBatch) -> Explanation:
    edges: list[Tensor] = []
    nodes: list[Tensor] = []

    def keep(layer: Any, inputs: Any, _: Any) -> None:
        (edges if isinstance(layer, EDGE_ATTENTION) else nodes).append(layer.weights(*inputs).mean(1))

    layers: list[nn.Module] = [layer for layer in model.encoder.modules() if isinstance(layer, EDGE_ATTENTION)]
    layers += [model.readout] if isinstance(model.readout, WeighingReadout) else []
    if not layers:
        raise NoAttention(
            "this model has no attention; use --by gradient, or train gat, gatv2, attentive_fp or a readout=attention"
        )
    handles = [layer.register_forward_hook(keep) for layer in layers]
    with torch.no_grad():
        model(batch)
    for handle in handles:
        handle.remove()
    bonds = _by_bond(mol, batch, torch.stack(edges).mean(0), torch.mean) if edges else None
    if nodes:
        return Explanation(mol, ATTENTION, "attention of the readout to atoms", _array(nodes[0]), bonds)
    # How much its neighbours look at an atom: 1 for each neighbour that sees nothing else.
    seen = torch.zeros_like(batch.node_graph, dtype=torch.float).index_add(0, batch.src, torch.stack(edges).mean(0))
    return Explanation(mol, ATTENTION, "attention of its neighbours to an atom", _array(seen), bonds)


EDGE_ATTENTION = (GATConv, GATv2Conv, AttentiveContext)
"""Layers whose ``weights`` are a number for each edge and head."""


def _by_bond(mol: Chem.Mol, batch: GraphBatch, values: Tensor, reduce: Any) -> Floats:
    """Join the two directions of each bond."""
    bonds = np.zeros(mol.GetNumBonds())
    both = reduce(torch.stack([values, values[batch.reverse]]), 0)
    for src, dst, value in zip(batch.src.tolist(), batch.dst.tolist(), both.tolist(), strict=True):
        bonds[mol.GetBondBetweenAtoms(src, dst).GetIdx()] = value
    return bonds


def explain_fingerprint(model: FingerprintModel, smiles: str, way: str, output: int) -> Explanation:
    """Explain a fingerprint model: how the prediction changes when the substructures around an atom are taken away.

    A forest has no gradient, so the difference is taken itself (Riniker & Landrum, J. Cheminf. 5, 43, 2013).

    Args:
        model: a fitted baseline.
        smiles: the molecule.
        way: ``gradient``.
        output: column of the prediction.

    Raises:
        NoAttention: ``way`` is ``attention``.
    """
    if way == ATTENTION:
        raise NoAttention("a model on fingerprints has no attention; use --by gradient")
    mol = parse(smiles, model.standardization)
    encoded, _ = model.featurizer()([smiles])
    whole = encoded.batch([0])
    without = whole - torch.from_numpy(np.pad(_substructures(mol), ((0, 0), (0, whole.shape[1] - MORGAN_BITS))))
    with torch.no_grad():
        predicted = model(torch.cat([whole, without.clamp(min=-torch.inf)]).float())[:, output]
    return Explanation(mol, GRADIENT, "change without the atom's substructures", _array(predicted[0] - predicted[1:]))


def _substructures(mol: Chem.Mol) -> NDArray[np.float32]:
    """Return how often each Morgan bit stands for a substructure with the atom in it ``[A, MORGAN_BITS]``."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=MORGAN_RADIUS, fpSize=MORGAN_BITS)
    output = rdFingerprintGenerator.AdditionalOutput()
    output.AllocateBitInfoMap()
    generator.GetCountFingerprint(mol, additionalOutput=output)
    counts = np.zeros((mol.GetNumAtoms(), MORGAN_BITS), dtype=np.float32)
    for bit, places in output.GetBitInfoMap().items():
        for center, radius in places:
            counts[list(around(mol, center, radius)), bit] += 1
    return counts


def gradient_times_input(output: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Return ``sum over features of input * d output / d input`` for the rows of each input (Shrikumar et al. 2017)."""
    gradients = torch.autograd.grad(output, inputs, materialize_grads=True)
    return [(gradient * value).sum(-1).detach() for gradient, value in zip(gradients, inputs, strict=True)]


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Within the context the model is in evaluation mode, and gradients are recorded."""
    was_training = model.training
    model.eval()
    try:
        with torch.enable_grad():
            yield
    finally:
        model.train(was_training)


def _array(values: Tensor) -> Floats:
    return values.double().cpu().numpy()
