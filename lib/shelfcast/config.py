"""Reads and merges the configuration, remembers where each value came from, and validates it."""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from shelfcast.errors import ConfigError
from shelfcast.resources import conf_dir
from shelfcast.settings import Settings

Path_ = tuple[str, ...]


@dataclass(frozen=True)
class Loaded:
    """The validated configuration and, for every key, the file or option that set it."""

    settings: Settings
    origins: Mapping[Path_, str]


def load(
    confs: Sequence[Path] = (), sets: Sequence[str] = (), lake: str | None = None, as_of: date | None = None
) -> Loaded:
    """conf/base.yaml, then each file of ``confs``, then ``sets`` (``a.b=c``), then the options.

    Mappings are merged key by key; lists are replaced. ``sources`` is replaced as a whole, because a run on one's
    own logs is not a run on the example's too; without a ``lake`` of its own it goes to ``var/<source>``.

    Raises:
        ConfigError: naming the file, the key, what was expected and the nearest valid key.
    """
    merged: dict[str, Any] = {}
    origins: dict[Path_, str] = {}
    base = conf_dir() / "base.yaml"
    for path in (base, *confs):
        layer = _read(path)
        if "sources" in layer:
            layer["sources"] = _sources(layer["sources"], path)
            merged.pop("sources", None)
            origins = {key: origin for key, origin in origins.items() if key[0] != "sources"}
            if path != base and "lake" not in layer:
                layer["lake"] = f"var/{'-'.join(layer['sources'])}"
        _merge(merged, layer, str(path), origins)
    for text in sets:
        _merge(merged, _assignment(text), f"--set {text}", origins)
    options = {"lake": lake, "as_of": as_of}
    for name, value in options.items():
        if value is not None:
            _merge(merged, {name: value}, f"--{name.replace('_', '-')}", origins)
    try:
        return Loaded(Settings.model_validate(merged), origins)
    except ValidationError as error:
        raise ConfigError(_explain(error, origins)) from error


def _read(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"configuration file {path.resolve()} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration file {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"configuration file {path} is no valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"configuration file {path} must hold keys and values, not a {type(content).__name__}")
    return content


def _sources(declared: object, path: Path) -> dict[str, Any]:
    """Each source with the shipped kind it ``extends`` merged below it, and relative roots made absolute."""
    if not isinstance(declared, dict) or not declared:
        raise ConfigError(f"{path}: sources must map a name to a source, e.g. sources: {{shop: {{extends: orders}}}}")
    return {str(name): _source(name, given or {}, path) for name, given in declared.items()}


def _source(name: str, given: object, path: Path) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: sources.{name} must hold keys and values")
    resolved: dict[str, Any] = {}
    kind = given.get("extends")
    if kind is not None:
        shipped = {file.stem: file for file in sorted((conf_dir() / "sources").glob("*.yaml"))}
        if kind not in shipped:
            near = _nearest(str(kind), shipped)
            raise ConfigError(f"{path}: sources.{name}.extends is {kind!r}, but shipped kinds are {near}")
        _merge(resolved, _read(shipped[kind]), str(shipped[kind]), {})
    _merge(resolved, given, str(path), {})
    root = resolved.get("root")
    if root is not None and "://" not in str(root):
        resolved["root"] = str((path.parent / Path(str(root)).expanduser()).resolve())
    elif root is None and resolved.get("package") is None:
        resolved["root"] = str(path.parent.resolve())
    return resolved


def _merge(
    into: dict[str, Any], layer: Mapping[str, Any], origin: str, origins: dict[Path_, str], at: Path_ = ()
) -> None:
    for key, value in layer.items():
        here = (*at, str(key))
        below = into.get(key)
        if isinstance(value, Mapping) and isinstance(below, dict):
            if value:
                origins.pop(here, None)  # it was empty, if it was a leaf
            _merge(below, value, origin, origins, here)
        else:
            into[key] = _copy(value)
            for known in [known for known in origins if known[: len(here)] == here]:
                del origins[known]
            origins.update(dict.fromkeys(_leaves(value, here), origin))


def _copy(value: Any) -> Any:
    return {key: _copy(below) for key, below in value.items()} if isinstance(value, Mapping) else value


def _leaves(value: object, at: Path_) -> Iterable[Path_]:
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _leaves(below, (*at, str(key)))
    else:
        yield at


def _assignment(text: str) -> dict[str, Any]:
    """``a.b=c`` as nested mappings; the value is read as YAML."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"--set {text}: write key=value, e.g. --set windows.horizon=4")
    try:
        parsed: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is no valid YAML: {error}") from error
    for part in reversed(name.strip().split(".")):
        parsed = {part: parsed}
    result: dict[str, Any] = parsed
    return result


def _explain(error: ValidationError, origins: Mapping[Path_, str]) -> str:
    """One line a problem: where, key, what was expected."""
    lines = []
    for problem in error.errors():
        at = tuple(str(part) for part in problem["loc"])
        key = ".".join(at)
        if problem["type"] == "extra_forbidden":
            said = f"{key} is no key; {_nearest(at[-1], _known_keys(at[:-1]))}"
        elif problem["type"] == "missing":
            said, at = f"{key} is missing", at[:-1]
        else:
            expected = problem["msg"].removeprefix("Value error, ")
            given = "" if isinstance(problem["input"], dict) else f" is {problem['input']!r}"
            said = f"{key}{given}: {expected[0].lower()}{expected[1:]}" if key else expected
        lines.append(f"{_origin(at, origins)}: {said}")
    return "\n".join(lines)


def _origin(at: Path_, origins: Mapping[Path_, str]) -> str:
    """What set the key, or every file and option that set a part of it."""
    found = [o for known, o in origins.items() if known[: len(at)] == at or at[: len(known)] == known]
    return ", ".join(dict.fromkeys(found)) or "configuration"


def _nearest(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"valid here: {', '.join(names)}"


def _known_keys(at: Path_) -> list[str]:
    """The fields of the section at a path of keys; none where any key is valid."""
    kind: Any = Settings
    for part in at:
        if _is_section(kind):
            field = kind.model_fields.get(part)
            kind = field.annotation if field is not None else None
        else:  # the name of an entry in a mapping: go on with the type of its values
            kind = get_args(kind)[-1] if get_args(kind) else None
        options = [option for option in get_args(kind) if _is_section(option)]
        if isinstance(kind, UnionType) and options:  # Section | None
            kind = options[0]
    return list(kind.model_fields) if _is_section(kind) else []


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def render(loaded: Loaded) -> str:
    """The merged configuration as YAML, each value with the file or option it came from."""
    lines: list[str] = []
    _render(loaded.settings.model_dump(mode="json"), (), loaded.origins, lines)
    width = min(60, max(len(text) for text, _ in map(_split, lines)))
    return "\n".join(f"{text:<{width}}  # {origin}" if origin else text for text, origin in map(_split, lines))


def _render(value: Mapping[str, Any], at: Path_, origins: Mapping[Path_, str], lines: list[str]) -> None:
    for key, below in value.items():
        here = (*at, str(key))
        indent = "  " * len(at)
        if isinstance(below, Mapping) and below:
            lines.append(f"{indent}{key}:")
            _render(below, here, origins, lines)
        else:
            lines.append(f"{indent}{key}: {json.dumps(below)}\0{origins.get(here, 'default')}")


def _split(line: str) -> tuple[str, str]:
    text, _, origin = line.partition("\0")
    return text, origin
