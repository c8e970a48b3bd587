"""The one door to NVIDIA Warp: its kernels are loaded when a solver starts, and only then.

"mpm_kernels" -> load -> module of kernels
"""

import importlib
from types import ModuleType


def load(name: str) -> ModuleType:
    """Return the module of kernels ``molgraph.particles.solvers.NAME``.

    Raises:
        ImportError: Warp is not installed.
    """
    try:
        import warp as wp
    except ImportError as error:
        raise ImportError("the solvers run on NVIDIA Warp: pip install 'molgraph[particles]'") from error
    # Warp greets with ten lines about its devices, and warns where there is no GPU, in every worker process
    wp.config.log_level = wp.LOG_ERROR
    return importlib.import_module(f"molgraph.particles.solvers.{name}")
