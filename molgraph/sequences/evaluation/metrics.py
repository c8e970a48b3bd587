"""How good generated molecules and translations are.

generated SMILES -> valid, unique, novel, diverse, like the reference | predictions -> top-k after canonicalization
"""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from molgraph.molecules.models import judge_molecules
from molgraph.molecules.reading import (
    InvalidSmiles,
    canonical_mixture,
    canonicalize_all,
    fragment_counts,
    morgan_fingerprints,
    properties,
    scaffold_counts,
)

LARGEST_COMPARISON = 5000
"""Molecules that similarities to the reference are computed from at most; the number is in the result."""


@dataclass(frozen=True)
class Generated:
    """Generated texts, looked at by RDKit."""

    smiles: list[str]
    """As written by the model."""
    canonical: list[str]
    """Canonical form, empty where it is no molecule."""
    reasons: list[str]
    """Why it is no molecule, empty where it is one."""

    @classmethod
    def read(cls, smiles: Sequence[str], workers: int | None = 0) -> "Generated":
        """Parse what a model wrote."""
        pairs = canonicalize_all(smiles, workers)
        return cls(list(smiles), [canonical for canonical, _ in pairs], [reason for _, reason in pairs])

    @property
    def valid(self) -> list[str]:
        """The molecules."""
        return [canonical for canonical in self.canonical if canonical]


def keys_of(canonical: Sequence[str]) -> np.ndarray:
    """Return eight bytes for each canonical SMILES, sorted: a training set in 8 bytes a molecule [rows]."""
    return np.unique(np.array([_key(text) for text in canonical], dtype=np.uint64))


def is_known(canonical: Sequence[str], keys: np.ndarray) -> np.ndarray:
    """Return which molecules are in a set of ``keys_of`` [rows]."""
    return np.isin(np.array([_key(text) for text in canonical], dtype=np.uint64), keys)


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def generation_metrics(
    generated: Generated, known: np.ndarray | None = None, reference: Sequence[str] = (), workers: int | None = 0
) -> dict[str, float]:
    """Return the metrics of MOSES (Polykovskiy et al. 2020), over the first valid molecules where it says so.

    Args:
        generated: at least one text.
        known: keys of the training molecules, for novelty.
        reference: held-out molecules, canonical, for similarities.
        workers: processes for the filters; None takes all cores, 0 this one.

    Returns:
        ``valid`` (of all), ``unique@1000`` and ``unique@10000`` (of that many valid ones; with fewer, the name says
        of how many, as ``unique@1115``),
        ``novelty`` (of the unique valid ones), ``internal_diversity`` (1 - mean Tanimoto), ``scaffold_similarity``,
        ``fragment_similarity`` (cosines of counts), ``nearest_similarity`` (Tanimoto to the nearest of the reference),
        ``passes_filters`` (share of those without what MOSES left out), ``sa_score`` (mean synthetic accessibility, 1
        is easy and 10 hard), ``n_valid`` and ``n_compared``.
    """
    valid = generated.valid
    result = {"n": float(len(generated.smiles)), "n_valid": float(len(valid))}
    result["valid"] = len(valid) / max(1, len(generated.smiles))
    if not valid:
        return result
    for count in dict.fromkeys(min(asked, len(valid)) for asked in (1000, 10_000)):
        result[f"unique@{count}"] = len(set(valid[:count])) / count
    unique = list(dict.fromkeys(valid))
    if known is not None:
        result["novelty"] = float(1 - is_known(unique, known).mean())
    some = valid[:LARGEST_COMPARISON]
    result["n_compared"] = float(len(some))
    passes, hardness = judge_molecules(some, workers).mean(axis=0).tolist()
    result |= {"passes_filters": passes, "sa_score": hardness}
    fingerprints = morgan_fingerprints(some)
    result["internal_diversity"] = 1 - float(tanimoto(fingerprints, fingerprints).mean())
    if reference:
        others = list(reference[:LARGEST_COMPARISON])
        result["scaffold_similarity"] = cosine(scaffold_counts(some), scaffold_counts(others))
        result["fragment_similarity"] = cosine(fragment_counts(some), fragment_counts(others))
        result["nearest_similarity"] = float(tanimoto(fingerprints, morgan_fingerprints(others)).max(axis=1).mean())
    return result


def invalid_reasons(generated: Generated) -> dict[str, int]:
    """Return how often each kind of mistake occurs, most frequent first; positions and numbers are left out."""
    return dict(Counter(_kind(reason) for reason in generated.reasons if reason).most_common())


def _kind(reason: str) -> str:
    lower = reason.lower()
    for clue, kind in (
        ("unclosed ring", "unclosed ring"),
        ("parenthes", "parentheses"),
        ("valence", "valence"),
        ("kekul", "kekulization"),
        ("aromatic", "aromatic atom outside a ring"),
        ("ring", "other ring error"),
        ("syntax", "syntax"),
        ("empty", "empty"),
    ):
        if clue in lower:
            return kind
    return "other"


def property_distances(generated: Sequence[str], reference: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Return Wasserstein distance between the distributions of each property, in its own unit."""
    ours, theirs = properties(generated, names), properties(reference, names)
    grid = (np.arange(200) + 0.5) / 200
    distances = np.abs(np.quantile(ours, grid, axis=0) - np.quantile(theirs, grid, axis=0)).mean(0)
    return {f"{name}_wasserstein": float(value) for name, value in zip(names, distances, strict=True)}


def frechet_chemnet_distance(generated: Sequence[str], reference: Sequence[str]) -> dict[str, float]:
    """Return FCD (Preuer et al. 2018) with what it depends on: the number of molecules and the distance of real ones.

    Args:
        generated: valid SMILES.
        reference: held-out SMILES; one half measures the other for the floor, with as many molecules as for the FCD.

    Returns:
        ``fcd``, ``fcd_n`` (molecules on each side) and ``fcd_floor``.

    Raises:
        ValueError: if the extra is not installed, or there are too few molecules.
    """
    try:
        import fcd
    except ImportError as error:
        raise ValueError("FCD needs the package fcd: pip install 'molgraph[fcd]'") from error
    half = len(reference) // 2
    count = min(len(generated), half)
    if count < 2:
        raise ValueError(f"FCD of {len(generated)} against {half} molecules; it needs at least 2 on each side")
    real, other = list(reference[:count]), list(reference[half : half + count])
    values = {"fcd": fcd.get_fcd(list(generated[:count]), real), "fcd_floor": fcd.get_fcd(other, real)}
    return {"fcd_n": float(count)} | {name: float(value) for name, value in values.items()}


def tanimoto(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Tanimoto similarity of every pair of fingerprints, [M, bits] and [N, bits] to [M, N]."""
    a, b = torch.from_numpy(first).float(), torch.from_numpy(second).float()
    common = a @ b.t()
    return (common / (a.sum(1)[:, None] + b.sum(1) - common).clamp(min=1)).numpy()


def cosine(first: Counter[str], second: Counter[str]) -> float:
    """Return cosine of two counts, 0 if one is empty."""
    product = sum(count * second[key] for key, count in first.items())
    norm = math.sqrt(sum(c * c for c in first.values()) * sum(c * c for c in second.values()))
    return product / norm if norm else 0.0


def asked_and_got(asked: np.ndarray, got: np.ndarray) -> dict[str, float]:
    """Return how well asked-for values [M] are met: number, mean absolute error and, where they differ, R²."""
    if not len(asked):
        return {"n": 0.0}
    result = {"n": float(len(asked)), "mae": float(np.abs(got - asked).mean())}
    result |= {"asked_mean": float(asked.mean()), "got_mean": float(got.mean())}
    if np.ptp(asked) > 0:
        result["r2"] = float(1 - np.square(got - asked).sum() / np.square(asked - asked.mean()).sum())
    return result


def comparable(text: str, is_smiles: bool = True) -> str:
    """Return a text as it is scored: canonical molecules in alphabetic order, empty if it is no SMILES."""
    if not is_smiles:
        return text.strip()
    try:
        return canonical_mixture(text)
    except InvalidSmiles:
        return ""


def translation_metrics(
    predictions: Sequence[Sequence[str]], targets: Sequence[str], is_smiles: bool = True
) -> dict[str, float]:
    """Return top-k accuracy after canonicalization; invalid candidates and duplicates keep their places.

    Args:
        predictions: for each source its candidates, the best first.
        targets: what is right.
        is_smiles: compare as molecules, in any order and without atom maps; else as text.

    Returns:
        ``top1``, ``top3``, ``top5``, ``top10`` (as far as there are candidates), ``invalid@1`` and ``invalid`` (of all
        candidates), ``duplicates`` (candidates that repeat a better one).
    """
    ranks, invalid, duplicates, total, first_invalid = [], 0, 0, 0, 0
    for candidates, target in zip(predictions, targets, strict=True):
        texts = [comparable(text, is_smiles) for text in candidates]
        first_invalid += not (texts and texts[0])
        invalid += sum(not text for text in texts)
        valid = [text for text in texts if text]
        distinct = list(dict.fromkeys(valid))
        duplicates += len(valid) - len(distinct)
        total += len(texts)
        right = comparable(target, is_smiles)
        ranks.append(texts.index(right) if right in texts else math.inf)
    count, widest = max(1, len(ranks)), max((len(candidates) for candidates in predictions), default=0)
    result = {f"top{k}": sum(rank < k for rank in ranks) / count for k in (1, 3, 5, 10) if k <= widest or k == 1}
    result |= {"invalid@1": first_invalid / count, "invalid": invalid / max(1, total)}
    return result | {"duplicates": duplicates / max(1, total), "n": float(len(ranks))}
