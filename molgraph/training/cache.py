"""What is kept between runs: downloads, featurized and simulated data, and what this machine does best."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder ``MOLGRAPH_CACHE``, or ``~/.cache/molgraph``, made if needed."""
    folder = Path(os.environ.get("MOLGRAPH_CACHE") or Path.home() / ".cache" / "molgraph")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
