import subprocess
import sys

import pytest

import molgraph


def test_public_names_are_imported_on_first_use():
    assert molgraph.smiles_to_graph("CCO").num_nodes() == 3
    assert all(callable(getattr(molgraph, name)) for name in molgraph.__all__ if name != "__version__")
    with pytest.raises(AttributeError, match=r"no attribute 'lode'; it has .*load"):
        _ = molgraph.lode


def test_importing_the_package_costs_nothing():
    code = "import sys, molgraph; print(sorted({'torch', 'rdkit', 'dgl', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
