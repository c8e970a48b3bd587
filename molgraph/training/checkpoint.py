"""Checkpoints: tensors, numbers and YAML text in one file, written atomically and read without unpickling code."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

FORMAT = "molgraph-checkpoint-1"


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write ``content`` (tensors, numbers, strings, and dicts and lists of them) to ``path``, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    torch.save({"format": FORMAT, **content}, temporary)
    os.replace(temporary, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        ValueError: no such file, truncated, or not a checkpoint of molgraph. Foreign pickles are never executed.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist; a run folder has best.pt after its first validation")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path} is truncated or not a checkpoint of molgraph ({reason[:120]}); train again"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} is not a checkpoint of molgraph; give the folder that `molgraph train` printed")
    return content
