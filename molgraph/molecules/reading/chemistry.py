"""What RDKit says of molecules that were written by a model: properties, scaffolds, fragments, fingerprints, pictures.

``SMILES -> parse -> property | scaffold | fragments | fingerprint | picture``, ``mixture -> text that can be compared``
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import BRICS, QED, rdFingerprintGenerator, rdMolDescriptors, rdPartialCharges
from rdkit.Chem.Draw import rdMolDraw2D
from rdkit.Chem.Scaffolds import MurckoScaffold

from molgraph.molecules.reading.parallel import map_chunks
from molgraph.molecules.reading.smiles import InvalidSmiles, has_atom_maps, parse

PROPERTIES: dict[str, tuple[Callable[[Chem.Mol], float], str]] = {
    "logp": (
        lambda mol: rdMolDescriptors.CalcCrippenDescriptors(mol)[0],
        "octanol-water partition, log10 (Wildman & Crippen 1999)",
    ),
    "qed": (QED.qed, "drug-likeness, 0..1 (Bickerton et al. 2012)"),
    "weight": (rdMolDescriptors._CalcMolWt, "molecular weight, g/mol"),
    "tpsa": (rdMolDescriptors.CalcTPSA, "topological polar surface, Å² (Ertl et al. 2000)"),
}
"""Properties by name: how to compute one, and what it is with its unit."""

UNITS = {"weight": "g/mol", "tpsa": "Å²"}
"""Units of the properties that have one."""

ATOM_PROPERTIES: dict[str, Callable[[Chem.Mol], list[float]]] = {
    "logp": lambda mol: [contribution for contribution, _ in rdMolDescriptors._CalcCrippenContribs(mol)],
    "charge": lambda mol: _gasteiger(mol),
    "aromatic": lambda mol: [float(atom.GetIsAromatic()) for atom in mol.GetAtoms()],
}
"""Properties of each atom: its share of logP, its Gasteiger charge in elementary charges, whether it is aromatic."""


class _Compute:
    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)

    def __call__(self, smiles: Sequence[str]) -> list[list[float]]:
        mols = [parse(text) for text in smiles]
        return [[PROPERTIES[name][0](mol) for name in self.names] for mol in mols]


def properties(smiles: Sequence[str], names: Sequence[str], workers: int | None = 0) -> NDArray[np.float64]:
    """Return properties of molecules ``[M, P]``.

    Args:
        smiles: valid SMILES.
        names: keys of ``PROPERTIES``.
        workers: processes; None takes one for each core.

    Raises:
        ValueError: unknown property.
        InvalidSmiles: a text is not a molecule.
    """
    unknown = [name for name in names if name not in PROPERTIES]
    if unknown:
        raise ValueError(f"unknown property {', '.join(unknown)}; there are {', '.join(PROPERTIES)}")
    rows = [row for chunk in map_chunks(_Compute(names), smiles, workers, "computing properties") for row in chunk]
    return np.array(rows, dtype=np.float64).reshape(len(smiles), len(names))


def atom_properties(smiles: str, names: Sequence[str]) -> NDArray[np.float64]:
    """Return properties of each atom of a molecule ``[N, P]``, in the order in which the SMILES writes them.

    Raises:
        ValueError: unknown property.
    """
    unknown = [name for name in names if name not in ATOM_PROPERTIES]
    if unknown:
        raise ValueError(f"unknown atom property {', '.join(unknown)}; there are {', '.join(ATOM_PROPERTIES)}")
    mol = parse(smiles)
    return np.array([ATOM_PROPERTIES[name](mol) for name in names], dtype=np.float64).reshape(len(names), -1).T


def _gasteiger(mol: Chem.Mol) -> list[float]:
    mol = Chem.Mol(mol)
    rdPartialCharges.ComputeGasteigerCharges(mol)
    return [atom.GetDoubleProp("_GasteigerCharge") for atom in mol.GetAtoms()]


class _Canonical:
    """Canonical SMILES and no reason, or no SMILES and the reason."""

    def __call__(self, smiles: Sequence[str]) -> list[tuple[str, str]]:
        results = []
        for text in smiles:
            try:
                results.append((Chem.MolToSmiles(parse(text)), ""))
            except InvalidSmiles as error:
                results.append(("", error.reason))
        return results


def canonicalize_all(smiles: Sequence[str], workers: int | None = 0) -> list[tuple[str, str]]:
    """Return for each text its canonical SMILES and an empty reason, or an empty text and why it is no molecule."""
    return [pair for chunk in map_chunks(_Canonical(), smiles, workers, "reading molecules") for pair in chunk]


def ring_scaffold(smiles: str) -> str:
    """Return the Bemis-Murcko scaffold, empty below two rings, as MOSES counts scaffolds (Polykovskiy et al. 2020)."""
    scaffold = MurckoScaffold.GetScaffoldForMol(parse(smiles))
    return Chem.MolToSmiles(scaffold) if scaffold.GetRingInfo().NumRings() >= 2 else ""


def brics_fragments(smiles: str) -> list[str]:
    """Return the fragments between a molecule's BRICS bonds, as MOSES counts them (Degen et al. 2008)."""
    return Chem.MolToSmiles(BRICS.BreakBRICSBonds(parse(smiles))).split(".")


def scaffold_counts(smiles: Sequence[str]) -> Counter[str]:
    """Return how often each scaffold occurs."""
    return Counter(scaffold for text in smiles if (scaffold := ring_scaffold(text)))


def fragment_counts(smiles: Sequence[str]) -> Counter[str]:
    """Return how often each BRICS fragment occurs."""
    return Counter(fragment for text in smiles for fragment in brics_fragments(text))


def morgan_fingerprints(smiles: Sequence[str], bits: int = 1024, radius: int = 2) -> NDArray[np.uint8]:
    """Return Morgan fingerprints ``[M, bits]`` of zeros and ones."""
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=bits)
    rows = [generator.GetFingerprintAsNumPy(parse(text)) for text in smiles]
    return np.array(rows, dtype=np.uint8).reshape(len(smiles), bits)


def strip_atom_maps(smiles: str) -> tuple[str, bool]:
    """Return a SMILES without atom maps (``[CH3:1]`` becomes ``C``), and whether it had any.

    Maps are written in the order of the reaction centre and would give the answer away.

    Raises:
        InvalidSmiles: the text is not a molecule.

    >>> strip_atom_maps("[CH3:1][OH:2]"), strip_atom_maps("OC")
    (('CO', True), ('OC', False))
    """
    mol = parse(smiles)
    return (Chem.MolToSmiles(mol), True) if has_atom_maps(smiles) else (smiles, False)


def canonical_mixture(smiles: str) -> str:
    """Return the molecules of a mixture, each canonical, without atom maps, in alphabetic order: equal means equal.

    Raises:
        InvalidSmiles: the text is not a molecule.

    >>> canonical_mixture("OCC.[CH4:1]")
    'C.CCO'
    """
    text, _ = strip_atom_maps(smiles)
    return ".".join(sorted(Chem.MolToSmiles(parse(text)).split(".")))


def draw_grid(smiles: Sequence[str], path: Path, legends: Sequence[str] | None = None, per_row: int = 5) -> None:
    """Draw molecules into one PNG picture.

    Args:
        smiles: valid SMILES, at least one.
        path: where to write.
        legends: a line under each.
        per_row: molecules in a row.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not smiles:
        raise ValueError(f"no valid molecule to draw into {path}; train longer, or sample at a lower temperature")
    width, height, rows = 260, 200, -(-len(smiles) // per_row)
    # Draw.MolsToGridImage returns another kind of picture inside a notebook.
    drawer = rdMolDraw2D.MolDraw2DCairo(width * min(per_row, len(smiles)), height * rows, width, height)
    drawer.DrawMolecules([parse(text) for text in smiles], legends=list(legends or [""] * len(smiles)))
    drawer.FinishDrawing()
    path.write_bytes(drawer.GetDrawingText())
