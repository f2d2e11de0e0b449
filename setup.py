"""Build of the compiled kernels and the mapping of the top-level folders into the package."""

import re
import shutil
from pathlib import Path

from setuptools import Extension, setup

ROOT = Path(__file__).parent
MAPPED = ("kernels", "plugins", "grammar")
FOLDERS = {"glamm": "glamm"} | {f"glamm.{folder}": folder for folder in MAPPED}


def packages() -> list[str]:
    """Return every package, by the folders that hold an ``__init__.py``."""
    found = []
    for name, folder in FOLDERS.items():
        for init in sorted((ROOT / folder).rglob("__init__.py")):
            parts = init.parent.relative_to(ROOT / folder).parts
            found.append(".".join((name, *parts)))
    return found


def pxd_tree() -> str:
    """Copy the kernels' declarations to where Cython, which ignores `package_dir`, looks for them."""
    tree = ROOT / "build" / "pxd"
    target = tree / "glamm" / "kernels"
    target.mkdir(parents=True, exist_ok=True)
    for folder in (tree / "glamm", target):
        (folder / "__init__.pxd").touch()
    for pxd in (ROOT / "kernels").glob("*.pxd"):
        shutil.copy2(pxd, target / pxd.name)
    return str(tree.relative_to(ROOT))


def included(source: Path, found: set[Path]) -> set[Path]:
    """Return the headers and declarations of this project that a file needs, whatever their depth."""
    text = source.read_text(encoding="utf-8")
    names = re.findall(r'(?:#\s*include|cdef extern from) "([^"]+)"', text)
    names += [f"{name}.pxd" for name in re.findall(r"from glamm\.kernels\.(\w+) cimport", text)]
    for path in (source.parent / name for name in (*names, f"{source.stem}.pxd")):
        if path.exists() and path not in found:
            found.add(path)
            included(path, found)
    return found


def extensions() -> list[Extension]:
    """Return one extension for each ``.pyx`` file."""
    tree = pxd_tree()
    found = []
    for source in sorted((ROOT / "kernels").glob("*.pyx")):
        extension = Extension(
            f"glamm.kernels.{source.stem}",
            [str(source.relative_to(ROOT))],
            include_dirs=["kernels"],
            depends=sorted(str(path.relative_to(ROOT)) for path in included(source, set())),
            extra_compile_args=["-O3", "-fno-math-errno", "-fno-trapping-math"],
        )
        extension.cython_include_dirs = [tree]
        extension.cython_directives = {
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
        }
        found.append(extension)
    return found


setup(packages=packages(), package_dir=FOLDERS, ext_modules=extensions())
