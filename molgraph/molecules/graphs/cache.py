"""Arrays that are computed once: ``content -> SHA-256 -> a file in the cache folder``.

The key is made of everything that the arrays depend on: a changed featurizer or another RDKit never reads an old file.
"""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from molgraph.training.cache import cache_folder

Arrays = dict[str, NDArray[Any]]


def content_key(*parts: Any, texts: Iterable[str] = ()) -> str:
    """Return the SHA-256 of ``parts`` (by their ``repr``) and ``texts``."""
    digest = hashlib.sha256("\n".join(map(repr, parts)).encode())
    for text in texts:
        digest.update(b"\n" + text.encode())
    return digest.hexdigest()


def cached(kind: str, key: str, compute: Callable[[], Arrays]) -> Arrays:
    """Return the arrays stored under ``key``, or compute and store them.

    Args:
        kind: first part of the file name, for people who look into the folder.
        key: from :func:`content_key`.
        compute: makes the arrays; none of them may hold Python objects.
    """
    path = cache_folder() / f"{kind}_{key[:32]}.npz"
    if path.is_file():
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error):
            path.unlink(missing_ok=True)  # cut short by a full disk, say: compute it again
    arrays = compute()
    temporary = path.with_suffix(f".{os.getpid()}.tmp.npz")
    np.savez(temporary, **arrays)  # type: ignore[arg-type]
    os.replace(temporary, path)
    return arrays
