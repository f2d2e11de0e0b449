"""What is installed is what the sources say."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import entrypoints
import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = {k: v for k, v in PROJECT.get("entry-points", {}).items() if k.startswith("glamm.")}
MAPPED = ("kernels", "plugins", "grammar")
EXTENSIONS = sorted(path.stem for path in (ROOT / "kernels").glob("*.pyx"))


@pytest.mark.parametrize("group", ["glamm.families", "glamm.links"])
def test_declared_entry_points_are_those_found(group):
    declared = {(name, target) for name, target in DECLARED[group].items()}
    found = {
        (e.name, f"{e.module_name}:{e.object_name}")
        for e in entrypoints.get_group_all(group)
        if e.module_name.split(".")[0] == "glamm"
    }
    assert found == declared
    installed = {(e.name, e.value) for e in distribution("glamm").entry_points if e.group == group}
    assert installed == declared


def test_every_plugin_class_has_an_entry_point():
    targets = {target for group in DECLARED.values() for target in group.values()}
    for path in sorted((ROOT / "plugins").rglob("*.py")):
        if path.stem.startswith("_"):
            continue
        module = ".".join(("glamm", *path.relative_to(ROOT).with_suffix("").parts))
        assert any(target.split(":")[0] == module for target in targets), f"{module} is not declared"
    for target in targets:
        module, _, attribute = target.partition(":")
        assert hasattr(importlib.import_module(module), attribute), target


@pytest.mark.parametrize("folder", MAPPED)
def test_mapped_folders_refuse_their_bare_name(folder):
    done = subprocess.run(
        [sys.executable, "-c", f"import {folder}"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode != 0
    assert f"ImportError: import glamm.{folder}" in done.stderr


@pytest.mark.parametrize("name", EXTENSIONS)
def test_compiled_modules_know_their_full_name(name):
    module = importlib.import_module(f"glamm.kernels.{name}")
    assert module.__name__ == f"glamm.kernels.{name}"
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__.split(".")[-1] == name:
            assert value.__module__ == f"glamm.kernels.{name}"


def test_every_source_file_has_a_package():
    for folder in ("glamm", *MAPPED):
        for path in (ROOT / folder).rglob("*.py"):
            assert (path.parent / "__init__.py").is_file(), path


def test_version_is_that_of_the_project():
    assert distribution("glamm").version == PROJECT["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## .*{re.escape(PROJECT['version'])}", changelog, re.MULTILINE)


def test_readme_holds_the_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for command in (
        'pip install . && glamm fit "cbind(r, n - r) ~ seed * extract + (1 | plate)" '
        "--data seeds --family binomial",
        'pip install -e ".[test]" && python -m pytest',
    ):
        assert f"    {command}\n" in readme
        assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_modules_stay_readable():
    """No module of the package grows beyond what one sitting can read."""
    for folder in ("glamm", *MAPPED):
        for path in (ROOT / folder).rglob("*.py"):
            lines = path.read_text(encoding="utf-8").count("\n")
            assert lines <= 450, f"{path.relative_to(ROOT)} has {lines} lines"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """Return the names in the wheel given by GLAMM_WHEEL, or in one built now."""
    path = os.environ.get("GLAMM_WHEEL")
    if path is None:
        out = tmp_path_factory.mktemp("wheel")
        # a build inside the tree would leave metadata there that hide those of the installed package
        source = tmp_path_factory.mktemp("source") / "glamm"
        shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "*.so"))
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out)]
        subprocess.run([*command, str(source)], check=True)
        (built,) = out.glob("*.whl")
        path = str(built)
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


@pytest.mark.slow
def test_wheel_holds_the_package_and_nothing_else(wheel):
    top = {name.split("/")[0] for name in wheel}
    assert top == {"glamm", f"glamm-{PROJECT['version']}.dist-info"}
    assert not [name for name in wheel if name.endswith((".c", ".cpp", ".pyx"))]
    for name in EXTENSIONS:
        assert [x for x in wheel if x.startswith(f"glamm/kernels/{name}.") and x.endswith((".so", ".pyd"))]
    for path in ("glamm/py.typed", "glamm/kernels/glamm_block.h"):
        assert path in wheel
    assert [name for name in wheel if name.startswith("glamm/grammar/") and name.endswith(".lark")]
    assert [name for name in wheel if name.startswith("glamm/data/sets/") and name.endswith(".csv")]
