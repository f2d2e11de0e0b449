"""`glamm.kernels`: compiled functions of arrays; no names, formulas or families in here."""

from pathlib import Path

if __name__ != "glamm.kernels":
    raise ImportError("import glamm.kernels, not kernels")

__all__ = ["include"]


def include() -> str:
    """Return the folder of ``glamm_block.h``, the C signature of compiled families."""
    return str(Path(__file__).parent)
