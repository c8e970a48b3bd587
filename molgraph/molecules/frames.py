"""Molecules in whatever a Python user holds: ``str | Mol | list | Series | DataFrame | path -> the same kind``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rdkit import Chem

from molgraph.molecules.reading.smiles import parse_valid
from molgraph.molecules.reading.table import smiles_position
from molgraph.molecules.tables import open_table

Model = Any
"""A ``predict.TrainedModel``, which imports this module."""


def predict_any(model: Model, molecules: Any, as_frame: bool) -> Any:
    """Predict what is given, and give the same kind back; see ``TrainedModel.predict``."""
    if is_frame(molecules):
        name = smiles_column(model, molecules)
        return _beside(model, molecules, _predict(model, molecules[name]))
    if is_series(molecules):
        return _as_series(model, molecules, as_frame)
    if isinstance(molecules, Path) or (isinstance(molecules, str) and is_file(molecules)):
        texts, frame = _file(model, Path(molecules))
        predictions = model.predict_texts(texts)
        return _beside(model, _frame(*frame), predictions) if as_frame else predictions
    if isinstance(molecules, str | Chem.Mol) or is_graph(molecules):
        predictions = _predict(model, [molecules])
        return _table(model, predictions) if as_frame else predictions[0]
    if not isinstance(molecules, Iterable):
        raise ValueError(f"{type(molecules).__name__} is no molecule; give a SMILES, a Mol, a list, a table or a path")
    predictions = _predict(model, molecules)
    return _table(model, predictions) if as_frame else predictions


def is_frame(value: Any) -> bool:
    """Return whether a value is a pandas DataFrame, without importing pandas."""
    return type(value).__module__.startswith("pandas") and hasattr(value, "columns")


def is_series(value: Any) -> bool:
    """Return whether a value is a pandas Series, without importing pandas."""
    return type(value).__module__.startswith("pandas") and not hasattr(value, "columns") and hasattr(value, "index")


def is_graph(value: Any) -> bool:
    """Return whether a value is a ``DGLGraph``, without importing DGL."""
    return hasattr(value, "ndata") and hasattr(value, "num_nodes")


def is_file(text: str) -> bool:
    """Return whether a text is the path of a file and not a SMILES."""
    return len(text) < 1000 and "\n" not in text and "\0" not in text and "." in text and Path(text).is_file()


def text_of_molecule(molecule: Any) -> str:
    """Return the SMILES of a molecule; what is missing (None, NaN) is an empty text.

    Raises:
        ValueError: neither a text nor a ``Mol``.
    """
    if isinstance(molecule, str):
        return molecule.strip()
    if isinstance(molecule, Chem.Mol):
        return Chem.MolToSmiles(molecule)
    if molecule is None or molecule != molecule:
        return ""
    raise ValueError(f"{molecule!r} is no molecule; give a SMILES or an RDKit Mol")


def smiles_column(model: Model, frame: Any) -> str:
    """Return the column of a DataFrame that holds the molecules: as in training, or the one that parses.

    Raises:
        ValueError: there is none.
    """
    names = [str(name) for name in frame.columns]
    for wanted in (model.config["data"].get("smiles_column", "smiles"), "smiles"):
        try:
            return names[smiles_position(names, wanted, "the DataFrame")]
        except ValueError:
            continue
    for name in names:
        sample = [value for value in frame[name].head(50) if isinstance(value, str) and value]
        if sample and len(parse_valid(sample)[0]) > len(sample) / 2:
            return name
    raise ValueError(f"the DataFrame has no column of SMILES; its columns are {', '.join(names)}")


def _predict(model: Model, molecules: Iterable[Any]) -> list[Any]:
    return model.predict_texts([m if is_graph(m) else text_of_molecule(m) for m in molecules])


def _file(model: Model, path: Path) -> tuple[list[str], tuple[list[str], list[list[str]]]]:
    with open_table(path) as table:
        name = model.config["data"].get("smiles_column", "smiles")
        place = smiles_position(table.header, name if name in table.header else "smiles", table.name)
        rows = [row.cells for row in table]
    return [row[place].strip() for row in rows], (table.header, rows)


def _frame(header: list[str], rows: list[list[str]]) -> Any:
    return _pandas().DataFrame(rows, columns=header)


def _as_series(model: Model, series: Any, as_frame: bool) -> Any:
    predictions = _predict(model, series)
    table = _table(model, predictions)
    table.index = series.index
    numbers = [f"{name}_predicted" for name in model.names]
    if as_frame or len(numbers) > 1:
        return table
    return table[numbers[0]]


def _beside(model: Model, frame: Any, predictions: list[Any]) -> Any:
    table = _table(model, predictions).drop(columns="smiles")
    table.index = frame.index
    return frame.assign(**{str(name): table[name] for name in table.columns})


def _table(model: Model, predictions: list[Any]) -> Any:
    pandas = _pandas()
    rows = [[prediction.smiles, *model.cells(prediction)] for prediction in predictions]
    table = pandas.DataFrame(rows, columns=["smiles", *model.columns()])
    for name in model.number_columns():
        table[name] = pandas.to_numeric(table[name])
    return table


def _pandas() -> Any:
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("a DataFrame needs pandas: pip install pandas") from error
    return pandas
