"""A distribution of somebody else: installed with pip, used by name in a formula, removed again."""

import os
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "third_party"

USE = """
import warnings
warnings.simplefilter("error")
import numpy as np, pandas as pd
import glamm, glamm.testing
from glamm import registry
from glamm.graph import family_spec

assert "zero_inflated_poisson" in registry.names("families")
assert "cauchit" in registry.links_of("binomial")

zip_family = registry.family(family_spec("zero_inflated_poisson"))
assert zip_family.kernel() is not None
glamm.testing.check_family(zip_family)
glamm.testing.check_family(registry.family(family_spec("binomial(cauchit)")))
glamm.testing.check_family(registry.family(family_spec("ordinal(cauchit)")))
glamm.testing.check_link(registry.link("cauchit"))

rng = np.random.default_rng(3)
g = np.repeat(np.arange(100), 20)
x = rng.normal(size=g.size)
effect = 0.5 * rng.normal(size=100)[g]
counts = np.where(rng.random(g.size) < 0.3, 0, rng.poisson(np.exp(0.8 + 0.4 * x + effect)))
hits = rng.random(g.size) < 0.5 + np.arctan(0.3 + 0.7 * x + effect) / np.pi
data = pd.DataFrame({"y": counts, "hit": hits.astype(int), "x": x, "g": g})

fit = glamm.fit("y ~ x + (1 | g)", data, family="zero_inflated_poisson", progress=False)
assert fit.converged, fit.status
found = dict(fit.params)
for name, value in {"y ~ 1": 0.8, "y ~ x": 0.4, "pi(y)": 0.3, "sd(1 | g)": 0.5}.items():
    assert abs(found[name] - value) < 4 * fit.bse[name], (name, found[name])
written = glamm.fit("y ~ x + (1 | g); pi(y) ~ x", data, family="zero_inflated_poisson", progress=False)
assert abs(written.params["pi(y) ~ x"]) < 4 * written.bse["pi(y) ~ x"]
assert 0.0 <= written.llf - fit.llf < 8.0

fit = glamm.fit("hit ~ x + (1 | g)", data, family="binomial(cauchit)", progress=False)
assert fit.converged, fit.status
found = dict(fit.params)
for name, value in {"hit ~ 1": 0.3, "hit ~ x": 0.7, "sd(1 | g)": 0.5}.items():
    assert abs(found[name] - value) < 4 * fit.bse[name], (name, found[name])
"""

GONE = """
import glamm, pandas as pd
from glamm import registry

assert "zero_inflated_poisson" not in registry.names("families")
assert "cauchit" not in registry.names("links")
data = pd.DataFrame({"y": [0, 1, 2, 3], "g": [1, 1, 2, 2]})
try:
    glamm.fit("y ~ 1 + (1 | g)", data, family="zero_inflated_poisson")
except glamm.PluginError as error:
    assert "there is no family 'zero_inflated_poisson'" in str(error)
else:
    raise AssertionError("the family is still there")
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Return the Python of a fresh environment that sees the packages of this one."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    scheme = "nt" if os.name == "nt" else "posix_prefix"
    variables = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", scheme, vars=variables))
    here = dict.fromkeys([*site.getsitepackages(), sysconfig.get_path("purelib")])
    lines = "".join(f"import site; site.addsitedir({path!r})\n" for path in here)
    (packages / "outer.pth").write_text(lines, encoding="utf-8")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    run(python, "-m", "pip", "install", "--quiet", "setuptools>=77")
    return python


def run(python, *arguments):
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "PYTHONPATH"))}
    variables["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    done = subprocess.run(
        [str(python), *arguments], capture_output=True, text=True, env=variables, cwd=Path(python).parent
    )
    assert done.returncode == 0, f"{' '.join(map(str, arguments[:4]))}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
def test_installed_used_and_removed(environment, tmp_path):
    source = tmp_path / "glamm-zip"
    shutil.copytree(SOURCE, source)
    install = ("-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", str(source))
    run(environment, *install)
    run(environment, "-c", USE)
    run(environment, "-m", "pip", "uninstall", "--quiet", "--yes", "glamm-zip")
    run(environment, "-c", GONE)


def test_this_python_does_not_have_it():
    """The test above proves something only if the names come from the distribution it installs."""
    done = subprocess.run([sys.executable, "-c", "import glamm_zip"], capture_output=True, text=True)
    assert "ModuleNotFoundError" in done.stderr
