"""Names find their plugins, and every way that can fail says what to do."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from glamm import registry
from glamm.errors import PluginError, Span
from glamm.graph.model import FamilySpec
from glamm.protocols import Interval, Link, MeanFamily


class Cosh(Link):
    """Not monotone on the whole line: used here as a link only by name."""

    mean = Interval(1.0, np.inf)

    def link(self, mu):
        return np.arccosh(mu)

    def inverse(self, nu):
        return np.cosh(nu)


class Halved(MeanFamily):
    """A family with options."""

    links = ("log",)
    support = Interval(0.0, np.inf)
    mean = Interval(0.0, np.inf)

    def __init__(self, link, limit=1.0, kind="a"):
        super().__init__(link)
        if kind not in ("a", "b"):
            raise ValueError(f"kind is {kind!r}, it can be 'a' or 'b'")
        self.limit, self.kind = limit, kind

    def log_density(self, y, mu):
        return -y / mu - np.log(mu)


@pytest.fixture
def session():
    """Return `register`, whose work is undone afterwards."""
    added = []

    def register(group, name, plugin):
        registry.register(group, name, plugin)
        added.append((group, name))

    yield register
    for group, name in added:
        registry.unregister(group, name)


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """Return a function that installs a distribution of entry points and modules on the path."""

    def install(name, entry_points, **modules):
        folder = tmp_path / name
        metadata = folder / f"{name}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(str(folder))
        registry.refresh()

    yield install
    monkeypatch.undo()
    registry.refresh()


def refused(call, *args, **options):
    with pytest.raises(PluginError) as caught:
        call(*args, **options)
    return str(caught.value)


def test_built_in_names():
    assert set(registry.names("families")) >= {"gaussian", "binomial", "ordinal", "multinomial", "weibull"}
    assert set(registry.names("links")) >= {"identity", "log", "logit", "probit", "power"}
    assert set(registry.names("latents")) >= {"normal", "student_t"}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (FamilySpec("poison"), "did you mean 'poisson'?"),
        (FamilySpec("Binomial"), "did you mean 'binomial'?"),
        (FamilySpec("zzz"), "there is no family 'zzz'; there are adjacent, beta, binomial,"),
        (FamilySpec("binomial", "probitt"), "there is no link 'probitt'"),
        (FamilySpec("binomial", "log"), "its mean lies in (0, inf), the family needs (0, 1)"),
        (FamilySpec("binomial", "identity"), "links of 'binomial': logit, probit, cloglog, loglog"),
        (FamilySpec("multinomial", "probit"), "links of 'multinomial': logit"),
        (FamilySpec("poisson", None, (), (("size", 2.0),)), "the family 'poisson' has no option 'size'"),
        (FamilySpec("student_t", None, (), (("dff", 4.0),)), "did you mean 'df'?"),
        (FamilySpec("student_t", None, (), (("df", -4.0),)), "df is -4.0, it must be a positive number"),
        (FamilySpec("student_t", None, (), (("df", "x"),)), "df is x, it must be a positive number"),
        (
            FamilySpec("binomial", None, (), (("asymptotes", "middle"),)),
            "asymptotes is 'middle', it can be 'none', 'lower', 'upper', 'both'",
        ),
        (FamilySpec("gaussian", "power"), "the link 'power' is written power(exponent), not with ()"),
        (FamilySpec("gaussian", "power", (1.0, 2.0)), "power(exponent), not with (1, 2)"),
        (FamilySpec("gaussian", "power", (0.0,)), "the exponent of power() is 0"),
        (FamilySpec("gaussian", "log", (2.0,)), "the link 'log' is written log(), not with (2)"),
    ],
    ids=str,
)
def test_bad_families(spec, message):
    assert message in refused(registry.family, spec)


def test_problems_know_their_place():
    spec = FamilySpec("poison", span=Span(3, 9))
    with pytest.raises(PluginError) as caught:
        registry.family(spec)
    assert caught.value.problems[0].span == Span(3, 9)


def test_all_unknown_options_are_reported():
    text = refused(registry.family, FamilySpec("binomial", None, (), (("a", 1.0), ("b", 2.0))))
    assert "no option 'a'" in text and "no option 'b'" in text


def test_options_and_links_arrive():
    family = registry.family(FamilySpec("gaussian", "power", (2.0,)))
    assert family.name == "gaussian" and family.link.name == "power"
    np.testing.assert_allclose(family.link.inverse(np.array(9.0)), 3.0)
    assert registry.family(FamilySpec("student_t", None, (), (("df", 4.0),))).df == 4.0
    assert registry.family(FamilySpec("ordinal")).link.name == "logit"


def test_latent_options():
    assert registry.latent("student_t", df=4).parameters[0].fixed == 4.0
    assert registry.latent("student_t").parameters[0].fixed is None
    assert "df is 2" in refused(registry.latent, "student_t", df=2)
    assert "shape is inf" in refused(registry.latent, "skew_normal", shape=np.inf)
    for option, value in (("weight", 1.0), ("separation", 0.0), ("ratio", -1.0)):
        assert f"{option} is" in refused(registry.latent, "normal_mixture", **{option: value})
    assert "has no option 'df'; it has no options" in refused(registry.latent, "normal", df=3)


def test_unknown_group():
    assert "there are families, links, latents" in refused(registry.names, "family")


def test_session_plugins(session):
    session("links", "cosh", Cosh)
    session("families", "halved", Halved)
    assert "cosh" in registry.names("links")
    family = registry.family(FamilySpec("halved", "cosh", (), (("limit", 3.0), ("kind", "b"))))
    assert (family.name, family.link.name, family.limit, family.kind) == ("halved", "cosh", 3.0, "b")
    assert "cosh" in registry.links_of("gamma") and "cosh" not in registry.links_of("binomial")
    bad = FamilySpec("halved", None, (), (("kind", "c"),))
    assert "the family 'halved': kind is 'c'" in refused(registry.family, bad)
    copy = pickle.loads(pickle.dumps(family))
    assert (copy.name, copy.link.name, copy.limit) == ("halved", "cosh", 3.0)


def test_session_plugins_leave():
    registry.register("links", "cosh", Cosh)
    registry.unregister("links", "cosh")
    assert "cosh" not in registry.names("links")
    assert "was registered in this session" in refused(registry.unregister, "links", "cosh")


@pytest.mark.parametrize(
    ("group", "plugin", "message"),
    [
        ("families", Cosh, "must be a subclass of glamm.Family"),
        ("links", 3, "is 3, it must be a subclass of glamm.Link"),
        ("links", type("Half", (Link,), {"link": lambda self, mu: mu}), "lacks inverse"),
        (
            "links",
            type("Ranged", (Link,), {"link": lambda self, mu: mu, "inverse": lambda self, nu: nu}),
            "does not set mean",
        ),
        (
            "families",
            type("Bare", (MeanFamily,), {"log_density": lambda self, y, mu: y}),
            "does not set support",
        ),
    ],
)
def test_incomplete_plugins(group, plugin, message):
    assert message in refused(registry.register, group, "mine", plugin)
    assert "mine" not in registry.names(group)


def test_a_broken_plugin_names_its_distribution(distribution):
    distribution(
        "wrecked",
        "[glamm.families]\nwreck = wreck_module:Family\n[glamm.links]\nlost = wreck_absent:Link\n"
        "[glamm.latents]\nplain = wreck_fine:VALUE\n",
        wreck_module="raise RuntimeError('out of order')",
        wreck_fine="VALUE = 3",
    )
    assert "wreck" in registry.names("families")
    text = refused(registry.family, FamilySpec("wreck"))
    assert "distribution 'wrecked'" in text and "RuntimeError: out of order" in text
    assert "No module named 'wreck_absent'" in refused(registry.link, "lost")
    assert "is 3, it must be a subclass of glamm.LatentDistribution" in refused(registry.latent, "plain")
    assert registry.family(FamilySpec("gaussian")).name == "gaussian"
    assert "lost" not in registry.links_of("gaussian")


def test_a_name_offered_twice_names_both(distribution):
    distribution("first", "[glamm.links]\ntwice = twice_a:Link\n")
    distribution("second", "[glamm.links]\ntwice = twice_b:Link\n")
    text = refused(registry.link, "twice")
    assert "distribution 'first'" in text and "distribution 'second'" in text
    assert registry.link("log").name == "log"


def test_a_built_in_name_cannot_be_taken_silently(distribution):
    distribution("greedy", "[glamm.links]\nlog = greedy:Link\n")
    text = refused(registry.link, "log")
    assert "distribution 'glamm'" in text and "distribution 'greedy'" in text


@pytest.mark.parametrize("text", ["[glamm.links]\nodd = not a target\n", "no section\n"])
def test_malformed_metadata_harm_nobody_else(distribution, text):
    distribution("crooked", text)
    assert registry.link("log").name == "log"
    assert "crooked" in refused(registry.link, "odd")


def test_old_metadata_are_recognised(distribution):
    """A glamm whose metadata lack one of its own modules asks to be installed again."""
    distribution("glamm", "[glamm.families]\ngaussian = glamm.plugins.families.gaussian:Gaussian\n")
    text = refused(registry.family, FamilySpec("poisson", "log"))
    assert "older than its source" in text and "install it again" in text


def test_plugins_load_lazily():
    code = (
        "import sys; from glamm import registry; registry.names('families');"
        "assert not [m for m in sys.modules if m.startswith('glamm.plugins.families')];"
        "registry.link('log'); assert 'glamm.plugins.links.powers' in sys.modules;"
        "assert 'glamm.plugins.links.probabilities' not in sys.modules"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
