"""What a user sets of a table of molecules: ``data=... -> DataConfig -> Source, Standardization, Split``."""

from dataclasses import dataclass, field
from pathlib import Path

from molgraph.molecules.reading import splits
from molgraph.molecules.reading.smiles import Standardization
from molgraph.molecules.reading.table import MoleculeTable, Source


@dataclass
class DataConfig:
    """The keys of ``data=`` for molecules.

    Attributes:
        name: a named set (``molgraph data`` lists them), or null for ``path``.
        path: a CSV file of one's own.
        smiles_column: column with the molecules.
        targets: columns to predict; empty takes all targets of a named set.
        kind: ``auto``, ``regression``, ``classification`` or ``multiclass``.
        delimiter: what separates the cells (null: found).
        decimal: decimal mark of the targets: ``auto``, ``point`` or ``comma``.
        encoding: of the text (null: found).
        transform: ``none``, ``log10`` or ``p`` (-log10 of a concentration in mol/L), of every target.
        unit: unit of concentration for ``transform=p``, where the column's name does not tell.
        duplicates: several rows of a molecule: ``keep``, ``mean``, ``median`` or ``refuse``.
        id_column: column with the name of each molecule, for messages.
        split: ``random``, ``scaffold``, ``kfold``, ``column`` or ``file``.
        split_column: column with train, val or test, for ``split=column``.
        split_file: ``split.csv`` of another run, for ``split=file``.
        split_seed: repeats a random or k-fold split.
        fractions: shares of train, val and test.
        folds: number of folds, for ``split=kfold``.
        fold: the fold that tests.
        on_error: ``raise`` or ``skip`` rows that cannot be used.
        hydrogens: write hydrogens as atoms.
        salts: ``keep`` or ``largest`` (drop counter-ions).
        stereo: keep stereochemistry.
        max_atoms: a molecule with more atoms is left out.
        standardize: ``none``, ``neutralize``, ``tautomer`` or ``chembl``.
        batch_size: molecules in a batch.
        workers: processes for reading molecules (null: one for each core).
        graphs: a file of ``dgl.save_graphs`` with labels, instead of a table.
        reader: dotted name of a plug-in's function that returns a ``MoleculeTable``, instead of a file.
    """

    name: str | None = None
    path: str | None = None
    smiles_column: str = "smiles"
    targets: list[str] = field(default_factory=list)
    kind: str = "auto"
    delimiter: str | None = None
    decimal: str = "auto"
    encoding: str | None = None
    transform: str = "none"
    unit: str | None = None
    duplicates: str = "keep"
    id_column: str | None = None
    split: str = "random"
    split_column: str | None = None
    split_file: str | None = None
    split_seed: int = 0
    fractions: list[float] = field(default_factory=lambda: [0.8, 0.1, 0.1])
    folds: int = 5
    fold: int = 0
    on_error: str = "raise"
    hydrogens: bool = False
    salts: str = "keep"
    stereo: bool = True
    max_atoms: int = 1000
    standardize: str = "none"
    batch_size: int = 64
    workers: int | None = None
    reader: str | None = None
    graphs: str | None = None

    def source(self) -> Source:
        """Return where the table lies."""
        return Source(
            self.name,
            self.path,
            self.smiles_column,
            tuple(self.targets),
            self.kind,
            self.delimiter,
            self.decimal,
            self.transform,
            self.unit,
            self.encoding,
        )

    def standardization(self) -> Standardization:
        """Return what is done to each molecule."""
        return Standardization(self.hydrogens, self.salts, self.stereo, self.max_atoms, self.standardize)


def make_split(config: DataConfig, table: MoleculeTable, canonical: list[str]) -> splits.Split:
    """Return the split that the configuration asks for.

    Raises:
        ValueError: unknown kind of split, or one that does not fit the table.
    """
    if config.split == "random":
        return splits.random_split(canonical, config.fractions, config.split_seed)
    if config.split == "scaffold":
        return splits.scaffold_split(canonical, config.fractions)
    if config.split == "kfold":
        return splits.kfold_split(canonical, config.folds, config.fold, config.split_seed)
    if config.split == "column":
        if not config.split_column:
            raise ValueError("data.split=column needs data.split_column=NAME, a column with train, val and test")
        return splits.column_split(table.column(config.split_column))
    if config.split == "file":
        return splits.file_split(Path(config.split_file or ""), table.smiles)
    raise ValueError(f"data.split={config.split!r} is unknown; use random, scaffold, kfold, column or file")
