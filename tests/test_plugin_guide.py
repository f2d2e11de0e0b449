"""The Python of the plugin guide is run: its tests pass, and its family and link fit."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import glamm
from glamm import registry

GUIDE = (Path(__file__).parents[1] / "docs" / "plugin-guide.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """Return the guide's package as a module that can be imported by its name, as pickles need."""
    folder = tmp_path_factory.mktemp("guide")
    code = [block for block in BLOCKS if "def test_" not in block]
    (folder / "my_package.py").write_text("\n\n".join(code), encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield importlib.import_module("my_package")
    sys.path.remove(str(folder))
    del sys.modules["my_package"]


def test_the_guides_own_tests_pass(package):
    (block,) = [block for block in BLOCKS if "def test_" in block]
    names = {}
    exec(compile(block, "plugin-guide.md", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 3
    for test in tests:
        test()


def test_the_family_equals_the_built_in_one(package):
    data = glamm.data.load("counts")
    registry.register("families", "my_counts", package.NegativeBinomial)
    try:
        own = glamm.fit("y ~ visit + (1 | id)", data, family="my_counts", points=3)
    finally:
        registry.unregister("families", "my_counts")
    built_in = glamm.fit("y ~ visit + (1 | id)", data, family="negative_binomial", points=3)
    assert own.llf == pytest.approx(built_in.llf, rel=1e-7)
    assert own.params["y ~ visit"] == pytest.approx(built_in.params["y ~ visit"], rel=1e-4)


def test_the_link_fits(package):
    registry.register("links", "my_cauchit", package.Cauchit)
    try:
        fit = glamm.fit("passed ~ ses", glamm.data.load("schools"), family="binomial(my_cauchit)")
    finally:
        registry.unregister("links", "my_cauchit")
    assert fit.converged
    assert np.isfinite(fit.llf)
