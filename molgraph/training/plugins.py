"""Whose code a configuration may name: ``molgraph | installed entry points | modules that the user trusts``.

A package is made known by an entry point of the group ``molgraph`` whose value is one of its modules. A module of one's
own folder is known once the command line itself names it (``plugins=[mymodel]``, ``--trust mymodel``, or
``load(run, trust=["mymodel"])``): a configuration or a checkpoint that somebody sends can trust nothing by itself.
A package may bring configuration files in a folder ``conf`` beside its ``__init__.py``.
"""

import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from molgraph.training.renamed import current_name

GROUP = "molgraph"
"""Name of the group of entry points."""

_trusted: set[str] = set()


@cache
def installed() -> tuple[str, ...]:
    """Return the modules that installed packages have made known."""
    return tuple(sorted({point.value.partition(":")[0] for point in metadata.entry_points(group=GROUP)}))


def trust(modules: Iterable[str]) -> None:
    """Let configurations of this process name what lies in ``modules``, also those of the current folder.

    Raises:
        ValueError: a module that is not there.
    """
    here = os.getcwd()
    for module in modules:
        if here not in sys.path:
            sys.path.append(here)  # last, so that a file of the folder never stands in for an installed package
        if _path_of(module) is None:
            raise ValueError(f"there is no module {module!r} to trust, neither installed nor in {here}")
        _trusted.add(module)


def trusted() -> tuple[str, ...]:
    """Return the modules that this process trusts beside what is installed; another process is told by it."""
    return tuple(sorted(_trusted))


def known() -> tuple[str, ...]:
    """Return the modules whose code may be named: molgraph's, installed and trusted ones."""
    return ("molgraph", *installed(), *sorted(_trusted))


def configurations() -> list[Path]:
    """Return the folders with configuration files that plug-ins bring."""
    paths = (_path_of(module) for module in known()[1:])
    folders = (path.parent / "conf" for path in paths if path is not None and path.name == "__init__.py")
    return [folder for folder in folders if folder.is_dir()]


def find(target: str) -> Any:
    """Return the class or function with the dotted name ``target``.

    Raises:
        ValueError: it is not molgraph's nor a known plug-in's, it is private, or it does not exist.
    """
    module, _, name = current_name(target).rpartition(".")
    if not _may_be_named(module):
        yours = (
            ""
            if module.partition(".")[0] in sys.stdlib_module_names
            else (
                f"; if it is yours, say so: plugins=[{module or name}] in `train`, --trust {module or name} elsewhere"
            )
        )
        raise ValueError(
            f"_target_ {target!r} lies outside molgraph; configurations may only name molgraph's own classes and those "
            f"of installed plug-ins{yours}"
        )
    if any(word.startswith("_") for word in target.split(".")):
        raise ValueError(f"_target_ {target!r} is private; a configuration names public classes")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ValueError(f"_target_ {target!r} does not exist: {error}") from error
    home = getattr(found, "__module__", None)
    if not callable(found) or not isinstance(home, str) or not _may_be_named(home):
        raise ValueError(f"_target_ {target!r} is not defined by molgraph or a plug-in; name the class itself")
    return found


def targets(node: Any) -> Iterator[str]:
    """Yield every ``_target_`` of a configuration, at any depth."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        for value in node.values():
            yield from targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from targets(value)


def check_targets(config: dict[str, Any]) -> None:
    """Refuse a configuration that names what it may not, or what does not exist; before any data are read.

    Raises:
        ValueError: as :func:`find`; names the plug-ins that the run was made with.
    """
    try:
        for target in targets(config):
            find(target)
    except ValueError as error:
        needed = [name for name in config.get("plugins") or [] if name not in known()]
        if needed:
            raise ValueError(f"{error} (the run was made with plugins=[{', '.join(needed)}])") from error
        raise


def _may_be_named(module: str) -> bool:
    return any(module == root or module.startswith(root + ".") for root in known())


def _path_of(module: str) -> Path | None:
    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec and spec.origin else None
