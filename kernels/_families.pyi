from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import ArrayLike

from glamm.protocols import Array

LINKS: tuple[str, ...]
ASYMPTOTES: tuple[str, ...]
INSTRUCTION_SETS: tuple[str, ...]
FUNCTIONS: tuple[str, ...]

def capsule(
    family: str,
    link: str,
    options: Mapping[str, float | str] | None = None,
    *,
    instructions: str = "",
) -> Any: ...
def elementary(name: str, x: ArrayLike) -> Array: ...
def call_block(
    block: Any, y: ArrayLike, nu: Sequence[ArrayLike], order: int = 0
) -> tuple[list[Array], ...]: ...
