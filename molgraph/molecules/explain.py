"""Weights of atoms and bonds drawn onto the molecule: ``Explanation -> SVG | PNG``, and all of them as a table."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from rdkit import Chem
from rdkit.Chem.Draw import rdMolDraw2D
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from molgraph.molecules.models.attribution import ATTENTION, WAYS, Explanation, Floats, NoAttention

if TYPE_CHECKING:
    from molgraph.molecules.predict import TrainedModel

Color = tuple[float, float, float]

SIZE = (560, 420)
"""Pixels of a picture."""


def depict(explanation: Explanation, path: Path, title: str = "") -> None:
    """Draw a molecule with its atoms and bonds coloured by their weight.

    Attention goes from white to dark; a gradient is red where it raises the prediction and blue where it lowers it.

    Args:
        explanation: of one molecule.
        path: ``.svg`` or ``.png``.
        title: below the picture.

    Raises:
        ValueError: another kind of file.
    """
    kinds = {".svg": rdMolDraw2D.MolDraw2DSVG, ".png": rdMolDraw2D.MolDraw2DCairo}
    if path.suffix not in kinds:
        raise ValueError(f"{path} is neither .svg nor .png; choose one of them")
    canvas = kinds[path.suffix](*SIZE)
    options = canvas.drawOptions()
    options.useBWAtomPalette()
    # RDKit's stubs know no setters.
    options.legendFontSize = 16  # type: ignore[assignment]
    options.highlightBondWidthMultiplier = 18  # type: ignore[assignment]
    atoms = _colors(explanation.atoms, explanation.way)
    bonds = {} if explanation.bonds is None else _colors(explanation.bonds, explanation.way)
    rdMolDraw2D.PrepareAndDrawMolecule(
        canvas,
        Chem.Mol(explanation.mol),
        legend=title,
        highlightAtoms=list(atoms),
        highlightAtomColors=atoms,
        highlightBonds=list(bonds),
        highlightBondColors=bonds,
    )
    canvas.FinishDrawing()
    drawn = canvas.GetDrawingText()
    path.write_bytes(drawn) if isinstance(drawn, bytes) else path.write_text(drawn)


def write_explanations(
    model: "TrainedModel",
    smiles: Sequence[str],
    way: str | None,
    target: str | None,
    folder: Path,
    draw_tokens: Callable[[Sequence[str], Floats, Path, str], object],
) -> list[Explanation]:
    """Explain predictions: pictures and ``explanations.csv`` in ``folder``, and a table in the terminal.

    Args:
        model: loaded from a run folder.
        smiles: molecules.
        way: ``attention`` or ``gradient``; None for both, or for the gradient where there is no attention.
        target: name of a target; None for the first.
        folder: made if needed.
        draw_tokens: draws ``(tokens, weights, path, title)`` of a sequence model.

    Raises:
        ValueError: a SMILES that cannot be read, an unknown target, or no attention where it was asked for.
    """
    name = target or model.names[0]
    explanations = [_explain(model, text, way, target) for text in smiles]  # before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False)
    for number, (text, parts) in enumerate(zip(smiles, explanations, strict=True), start=1):
        for explanation in parts:
            title = f"{name}: {explanation.method}"
            for suffix in ("svg", "png"):
                depict(explanation, folder / f"{number}_{explanation.way}.{suffix}", title)
            if explanation.tokens:
                path = folder / f"{number}_{explanation.way}_tokens.png"
                draw_tokens(explanation.tokens.tokens, explanation.tokens.weights, path, title)
        _show(console, text, parts)
    explained = [(text, part) for text, parts in zip(smiles, explanations, strict=True) for part in parts]
    _write_table(folder / "explanations.csv", explained)
    console.print(f"pictures and explanations.csv: {folder}", markup=False, soft_wrap=True)
    return [explanation for _, explanation in explained]


def _explain(model: "TrainedModel", smiles: str, way: str | None, target: str | None) -> list[Explanation]:
    explanations = []
    for each in (way,) if way else WAYS:
        try:
            explanations.append(model.explain(smiles, each, target))
        except NoAttention:
            if way:
                raise
    return explanations


def _show(console: Console, smiles: str, explanations: Sequence[Explanation]) -> None:
    table = Table(title=escape(smiles), title_justify="left")
    table.add_column("atom", justify="right")
    table.add_column("element")
    for explanation in explanations:
        table.add_column(explanation.method, justify="right")
    for atom in explanations[0].mol.GetAtoms():
        values = (f"{explanation.atoms[atom.GetIdx()]:+.3f}" for explanation in explanations)
        table.add_row(str(atom.GetIdx()), atom.GetSymbol(), *values)
    table.add_section()
    table.add_row("", "no atom", *(f"{explanation.rest:+.3f}" for explanation in explanations))
    console.print(table)


def _write_table(path: Path, explained: Sequence[tuple[str, Explanation]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles", "by", "method", "part", "first_atom", "second_atom", "weight"])
        for smiles, explanation in explained:
            head = [smiles, explanation.way, explanation.method]
            for atom, weight in enumerate(explanation.atoms):
                writer.writerow([*head, "atom", atom, "", f"{weight:.6g}"])
            if explanation.bonds is not None:
                for bond, weight in zip(explanation.mol.GetBonds(), explanation.bonds, strict=True):
                    ends = [bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()]
                    writer.writerow([*head, "bond", *ends, f"{weight:.6g}"])


def _colors(weights: Floats, way: str) -> dict[int, Color]:
    """Return the colour of each atom or bond, the strongest of them saturated."""
    largest = float(np.abs(weights).max(initial=0)) or 1.0
    if way == ATTENTION:
        shades = colormaps["Blues"](0.75 * weights / largest)
    else:
        shades = colormaps["RdBu_r"](0.5 + 0.4 * weights / largest)
    return {number: (float(r), float(g), float(b)) for number, (r, g, b, _) in enumerate(shades)}
