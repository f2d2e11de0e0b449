"""Names of the model language -> plugin objects: families, links, distributions of latent variables.

Plugins are found through the entry points of installed distributions, which are read when a name is first
asked for; a plugin is imported when its own name is used, so a broken one harms nobody else. Plugins of a
session are added with `register`.
"""

from __future__ import annotations

import configparser
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import entrypoints

from glamm.errors import PluginError, Problem, Span, nearest
from glamm.protocols import Family, LatentDistribution, Link

if TYPE_CHECKING:
    from glamm.graph.model import FamilySpec

__all__ = ["family", "latent", "link", "links_of", "names", "refresh", "register", "unregister"]

_SINGULAR = {"families": "family", "links": "link", "latents": "latent distribution"}
_BASES: Mapping[str, type] = {"families": Family, "links": Link, "latents": LatentDistribution}


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a name leads: an entry point of a distribution, or a class registered in this session."""

    distribution: str
    target: type | entrypoints.EntryPoint

    def load(self) -> Any:
        return self.target.load() if isinstance(self.target, entrypoints.EntryPoint) else self.target

    def __str__(self) -> str:
        if isinstance(self.target, entrypoints.EntryPoint):
            return f"{self.target.module_name}:{self.target.object_name} (distribution {self.distribution!r})"
        return self.distribution


_session: dict[str, dict[str, _Source]] = {group: {} for group in _SINGULAR}
_installed: dict[str, dict[str, list[_Source]]] | None = None
_unreadable: list[str] = []


def _scan() -> dict[str, dict[str, list[_Source]]]:
    """Return the sources of each name in each group, over all installed distributions."""
    found: dict[str, dict[str, list[_Source]]] = {group: {} for group in _SINGULAR}
    seen: set[str] = set()
    _unreadable.clear()
    for folder in sys.path:
        try:
            configs = list(entrypoints.iter_files_distros(path=[folder]))
        except (configparser.Error, OSError) as error:
            _unreadable.append(f"entry points below {folder} cannot be read: {error}")
            continue
        for config, distribution in configs:
            name = re.sub(r"[-_.]+", "-", distribution.name).lower()
            if name in seen:
                continue
            seen.add(name)
            for group in _SINGULAR:
                section = f"glamm.{group}"
                for key, value in config[section].items() if section in config else ():
                    try:
                        point = entrypoints.EntryPoint.from_string(value, key, distribution)
                    except entrypoints.BadEntryPoint:
                        _unreadable.append(f"entry point {key} = {value} of {name!r} is malformed")
                        continue
                    found[group].setdefault(key, []).append(_Source(name, point))
    return found


def _sources(group: str) -> dict[str, list[_Source]]:
    global _installed
    if group not in _SINGULAR:
        raise PluginError(f"there is no group of plugins {group!r}, there are {', '.join(_SINGULAR)}")
    if _installed is None:
        _installed = _scan()
    merged = {name: list(sources) for name, sources in _installed[group].items()}
    merged.update({name: [source] for name, source in _session[group].items()})
    return merged


def refresh() -> None:
    """Forget what is installed; it is read anew when a name is next used."""
    global _installed
    _installed = None


def names(group: str) -> tuple[str, ...]:
    """Return the sorted names of a group: ``"families"``, ``"links"`` or ``"latents"``."""
    return tuple(sorted(_sources(group)))


def register(group: str, name: str, plugin: type) -> None:
    """Add a plugin for this session; it takes the place of an installed one of the same name.

    Parameters
    ----------
    group : {"families", "links", "latents"}
    name : str
    plugin : type
        Subclass of Family, Link or LatentDistribution.
    """
    _sources(group)
    source = _Source("this session", plugin)
    _checked(group, name, source, plugin)
    _session[group][name] = source


def unregister(group: str, name: str) -> None:
    """Take back `register`."""
    if group not in _session or name not in _session[group]:
        raise PluginError(f"no {_SINGULAR.get(group, group)} {name!r} was registered in this session")
    del _session[group][name]


def _checked(group: str, name: str, source: _Source, plugin: Any) -> type:
    """Return `plugin` if it is a complete class of the right kind."""
    kind, base = _SINGULAR[group], _BASES[group]
    if not (isinstance(plugin, type) and issubclass(plugin, base)):
        raise PluginError(
            f"the {kind} {name!r} from {source} is {plugin!r}, it must be a subclass of glamm.{base.__name__}"
        )
    missing = sorted(getattr(plugin, "__abstractmethods__", ()))
    if missing:
        raise PluginError(f"the {kind} {name!r} from {source} lacks {', '.join(missing)}")
    attributes = {"families": ("support",) if hasattr(plugin, "log_density") else (), "links": ("mean",)}
    absent = [attribute for attribute in attributes.get(group, ()) if not hasattr(plugin, attribute)]
    if absent:
        raise PluginError(f"the {kind} {name!r} from {source} does not set {', '.join(absent)}")
    return plugin


def _load(group: str, name: str, span: Span | None = None) -> Any:
    kind = _SINGULAR[group]
    sources = _sources(group)
    if name not in sources:
        message = f"there is no {kind} {name!r}; there are {', '.join(sorted(sources)) or 'none'}"
        if not sources or _is_built_in(group, name):
            hint = (
                "the installed metadata of glamm is older than its source: "
                "install it again (pip install -e . in a source tree)"
            )
        else:
            hint = nearest(name, sources) or "a plugin's distribution must be installed in this environment"
        raise PluginError(Problem("\n".join((message, *_unreadable)), span, hint))
    if len(sources[name]) > 1:
        listed = " and ".join(str(source) for source in sources[name])
        raise PluginError(
            Problem(f"the {kind} {name!r} is offered twice: by {listed}", span, "uninstall one of them")
        )
    (source,) = sources[name]
    try:
        plugin = source.load()
    except Exception as error:  # whatever a plugin's import may raise, it is the plugin's fault
        message = f"the {kind} {name!r} from {source} cannot be loaded: {type(error).__name__}: {error}"
        hint = f"reinstall or remove the distribution {source.distribution!r}"
        raise PluginError(Problem(message, span, hint)) from error
    return _checked(group, name, source, plugin)


def _is_built_in(group: str, name: str) -> bool:
    return name.isidentifier() and find_spec(f"glamm.plugins.{group}.{name}") is not None


@lru_cache(maxsize=256)
def _signature(cls: type) -> inspect.Signature:
    """Return the signature of a plugin class; `inspect` takes milliseconds for it."""
    return inspect.signature(cls)


def _made(group: str, name: str, cls: type, span: Span | None, *args: Any, **options: Any) -> Any:
    """Return ``cls(*args, **options)`` under its name; mistakes in the options become PluginErrors."""
    kind = _SINGULAR[group]
    signature = _signature(cls)
    valid = [p for p in signature.parameters if p != "link"]
    unknown = [option for option in options if option not in valid]
    if unknown:
        allowed = f"it has {', '.join(valid)}" if valid else "it has no options"
        problems = [
            Problem(f"the {kind} {name!r} has no option {option!r}; {allowed}", span, nearest(option, valid))
            for option in unknown
        ]
        raise PluginError(problems)
    try:
        signature.bind(*args, **options)
    except TypeError:
        written = f"{name}({', '.join(valid)})"
        raise PluginError(
            Problem(f"the {kind} {name!r} is written {written}, not with {_shown(args, options)}", span)
        ) from None
    try:
        plugin = cls(*args, **options)
    except (TypeError, ValueError) as error:
        raise PluginError(Problem(f"the {kind} {name!r}: {error}", span)) from error
    plugin.name = name
    return plugin


def _shown(args: tuple[Any, ...], options: Mapping[str, Any]) -> str:
    given = [f"{a:g}" if isinstance(a, (int, float)) else repr(a) for a in args if not isinstance(a, Link)]
    given += [f"{key}={value}" for key, value in options.items()]
    return f"({', '.join(given)})"


def link(name: str, *args: float) -> Link:
    """Return the link of that name, made of its arguments: ``link("power", 2.0)``."""
    made: Link = _made("links", name, _load("links", name), None, *args)
    return made


def _fits(family_class: type[Family], link_class: type[Link], name: str) -> bool:
    """Return whether a link suits a family: it is listed there, or its mean lies in the family's range."""
    if name in family_class.links:
        return True
    return family_class.mean is not None and family_class.mean.covers(link_class.mean)


def links_of(name: str) -> tuple[str, ...]:
    """Return the names of all links that suit the family `name`, its default first.

    Links that cannot be loaded are passed over.
    """
    family_class: type[Family] = _load("families", name)
    good = list(family_class.links)
    for candidate in names("links"):
        try:
            link_class = _load("links", candidate)
        except PluginError:
            continue
        if candidate not in good and _fits(family_class, link_class, candidate):
            good.append(candidate)
    return tuple(good)


def family(spec: FamilySpec) -> Family:
    """Return the family that `spec` describes, with its link and options.

    Raises
    ------
    PluginError
        The family, link or an option is unknown, or the link's mean does not fit the family.
    """
    cls: type[Family] = _load("families", spec.name, spec.span)
    link_name = spec.link if spec.link is not None else cls.links[0]
    link_class: type[Link] = _load("links", link_name, spec.span)
    if not _fits(cls, link_class, link_name):
        raise PluginError(
            Problem(
                f"the link {link_name!r} does not fit the family {spec.name!r}: "
                f"its mean lies in {link_class.mean}, the family needs {cls.mean or 'one of its own links'}",
                spec.span,
                f"links of {spec.name!r}: {', '.join(links_of(spec.name))}",
            )
        )
    made_link = _made("links", link_name, link_class, spec.span, *spec.link_args)
    made: Family = _made("families", spec.name, cls, spec.span, made_link, **dict(spec.options))
    return made


def latent(name: str, **options: float) -> LatentDistribution:
    """Return the latent distribution of that name, made of its options."""
    made: LatentDistribution = _made("latents", name, _load("latents", name), None, **options)
    made.options = dict(options)
    return made
