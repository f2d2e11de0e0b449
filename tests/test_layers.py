"""Imports point one way: from a layer to the layers above it in the list of the architecture."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {
    "glamm": "glamm",
    "glamm.kernels": "kernels",
    "glamm.plugins": "plugins",
    "glamm.grammar": "grammar",
}

# package -> layer; a module imports from smaller numbers and from its own package
LAYERS = {
    "glamm.errors": 0,
    "glamm.numdiff": 0,
    "glamm.grammar": 1,
    "glamm.protocols": 1,
    "glamm.kernels": 1,
    "glamm.plugins": 2,
    "glamm.registry": 2,
    "glamm.graph": 2,
    "glamm.testing": 3,
    "glamm.data": 3,
    "glamm.compile": 4,
    "glamm.inference": 5,
    "glamm.results": 6,
    "glamm.api": 7,
    "glamm.cli": 7,
    "glamm": 7,
}
# these plug in through the small protocols alone
ALLOWED = {"glamm.kernels": set(), "glamm.plugins": {"glamm.kernels", "glamm.protocols", "glamm.numdiff"}}
# libraries that one place alone may import
PLACES = {
    "lark": {"glamm.grammar"},
    "formulaic": {"glamm.data"},
    "narwhals": {"glamm.data"},
    "entrypoints": {"glamm.registry"},
    "pandas": {"glamm.data", "glamm.results", "glamm.api", "glamm.cli"},
}


def modules():
    for package, folder in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield ".".join((package, *(p for p in parts if p != "__init__"))), path


MODULES = dict(modules())


def layer_of(module):
    """Return the entry of LAYERS a module belongs to."""
    parts = module.split(".")
    for size in range(min(len(parts), 2), 0, -1):
        name = ".".join(parts[:size])
        if name in LAYERS and (size == 2 or len(parts) == 1):
            return name
    raise AssertionError(f"{module} belongs to no layer: add it to LAYERS")


def imports(module, path):
    """Return every module name that a file imports, wherever in the file the import stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: import absolutely, from glamm.…"
            if node.module == "glamm":
                names = {f"glamm.{alias.name}" for alias in node.names}
                found |= {name if name in LAYERS else "glamm" for name in names}
            else:
                found.add(node.module)
    return found - {"__future__"}


def glamm_imports(module, path):
    return {t for t in imports(module, path) if t.split(".")[0] == "glamm"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_to_lower_layers(module):
    own = layer_of(module)
    for target in sorted(glamm_imports(module, MODULES[module])):
        other = layer_of(target)
        if other == own:
            continue
        assert own not in ALLOWED or other in ALLOWED[own], f"{module} imports {target}"
        assert LAYERS[other] <= LAYERS[own], f"{module} imports {target}, which lies above it"
        if LAYERS[other] == LAYERS[own]:
            # peers of one layer may not import each other both ways
            back = {
                layer_of(t) for m, p in MODULES.items() if layer_of(m) == other for t in glamm_imports(m, p)
            }
            assert own not in back, f"{own} and {other} import each other"


@pytest.mark.parametrize("library", sorted(PLACES))
def test_a_library_is_imported_in_its_place(library):
    users = {
        layer_of(m) for m, p in MODULES.items() if any(t.split(".")[0] == library for t in imports(m, p))
    }
    assert users, f"nothing imports {library}: drop it from the dependencies"
    assert users <= PLACES[library]


def test_import_glamm_loads_no_heavy_library():
    code = (
        "import sys, glamm; "
        "print(*sorted({m.split('.')[0] for m in sys.modules} & {'pandas', 'formulaic', 'lark', 'scipy'}))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, cwd=ROOT / "tests"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""
