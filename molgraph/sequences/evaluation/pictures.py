"""Pictures of what a sequence model did: attention maps, asked against got, distributions, gradients through time.

numbers -> matplotlib Figure -> PNG
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure


def draw_attention(
    weights: np.ndarray, source: Sequence[str], target: Sequence[str], path: Path, title: str = ""
) -> Figure:
    """Draw which source token each target token looked at.

    Args:
        weights: [target, source], rows sum to 1.
        source: source tokens.
        target: target tokens.
        path: where to write.
        title: above the picture.
    """
    figure = Figure(figsize=(2.4 + 0.22 * len(source), 1.6 + 0.22 * len(target)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(weights, cmap="Blues", vmin=0, aspect="equal")
    axes.set_xticks(
        range(len(source)), source, fontfamily="monospace", fontsize=9, rotation=90 if max(map(len, source)) > 2 else 0
    )
    axes.set_yticks(range(len(target)), target, fontfamily="monospace", fontsize=9)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="source", ylabel="written")
    if title:
        axes.set_title(title, fontsize=10)
    figure.colorbar(image, ax=axes, shrink=0.6, label="attention weight")
    figure.savefig(path, dpi=120)
    return figure


def draw_token_map(tokens: Sequence[str], weights: np.ndarray, path: Path, title: str = "") -> Figure:
    """Draw what a model looked at, token by token.

    Args:
        tokens: T of them.
        weights: attention of each layer [L, T, T], row looks at column; or one weight a token [1, 1, T].
        path: where to write.
        title: above the picture.
    """
    layers, rows, columns = weights.shape
    figure = Figure(figsize=(1.0 + layers * (0.6 + 0.22 * columns), 1.2 + 0.22 * rows), layout="constrained")
    largest = float(np.abs(weights).max()) or 1.0
    signed = bool((weights < 0).any())
    for number, axes in enumerate(figure.subplots(1, layers, squeeze=False)[0]):
        image = axes.imshow(
            weights[number], cmap="RdBu_r" if signed else "Blues", vmin=-largest if signed else 0, vmax=largest
        )
        axes.set_xticks(range(columns), tokens, fontfamily="monospace", fontsize=8, rotation=90)
        axes.set_yticks(range(rows), tokens if rows > 1 else [""] * rows, fontfamily="monospace", fontsize=8)
        axes.xaxis.tick_top()
        axes.set_xlabel(f"layer {number + 1}" if layers > 1 else "")
    if rows > 1:
        figure.colorbar(image, ax=figure.axes, shrink=0.6, label="attention weight")
    figure.suptitle(title, fontsize=10)
    figure.savefig(path, dpi=120)
    return figure


def draw_asked_and_got(asked: np.ndarray, got: np.ndarray, name: str, score: Mapping[str, float], path: Path) -> Figure:
    """Draw the value of each generated molecule over the value that was asked for; a histogram if that was only one.

    Args:
        asked: values [M].
        got: values of the molecules [M].
        name: of the property, with its unit.
        score: of ``metrics.asked_and_got``.
        path: where to write.
    """
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes, scores = figure.subplots(), [f"MAE {score['mae']:.2f}", f"n = {len(asked)}"]
    if "r2" in score:
        axes.scatter(asked, got, s=8, alpha=0.4, edgecolors="none")
        ends = [float(min(asked.min(), got.min())), float(max(asked.max(), got.max()))]
        axes.plot(ends, ends, color="0.4", linewidth=1)
        axes.set(xlabel=f"{name} asked for", ylabel=f"{name} of the molecule")
        scores.insert(0, f"R² {score['r2']:.2f}")
    else:
        axes.hist(got, 40, color="0.75")
        axes.axvline(float(asked[0]), linewidth=1.6, label="asked for")
        axes.set(xlabel=f"{name} of the molecule", ylabel="molecules")
        axes.legend(fontsize=8)
    axes.set_title(", ".join(scores), fontsize=10)
    figure.savefig(path, dpi=120)
    return figure


def draw_distributions(generated: np.ndarray, reference: np.ndarray, names: Sequence[str], path: Path) -> Figure:
    """Draw histograms of properties, generated [M, P] and reference [N, P]."""
    figure = Figure(figsize=(3.2 * len(names), 2.8), layout="constrained")
    for column, (axes, name) in enumerate(zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True)):
        low, high = np.quantile(np.concatenate([generated[:, column], reference[:, column]]), [0.005, 0.995])
        bins = np.linspace(low, high, 40)
        axes.hist(reference[:, column], bins, density=True, color="0.75", label="held-out")
        axes.hist(generated[:, column], bins, density=True, histtype="step", linewidth=1.6, label="generated")
        axes.set(xlabel=name, yticks=[])
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    return figure


def draw_gradients(norms: Mapping[str, np.ndarray], path: Path) -> Figure:
    """Draw how the gradient of the last output fades towards the first step, one curve a cell."""
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, values in norms.items():
        axes.semilogy(np.arange(len(values))[::-1], np.maximum(values / values[-1], 1e-30), label=name)
    axes.set(xlabel="steps back in time", ylabel="gradient norm, relative to the last step")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=120)
    return figure
