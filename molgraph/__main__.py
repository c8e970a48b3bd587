"""``python -m molgraph`` is ``molgraph``."""

from molgraph.cli import main

main()
