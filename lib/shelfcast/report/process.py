"""What each step took, and which models were used."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from shelfcast.lake.ledger import Record
from shelfcast.lake.paths import filesystem

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Took:
    """One step's slice; ``reused`` if an earlier run did it and nothing has changed since."""

    step: str
    slice: str
    seconds: float | None
    rows_in: int | None
    rows_out: int | None
    versions: Mapping[str, int]
    reused: bool


@dataclass(frozen=True)
class Model:
    """A model folder: figures measured in training and the table versions it has read."""

    kind: str
    version: str
    figures: list[tuple[str, str]]
    inputs: list[tuple[str, str]]


def steps(records: Iterable[Record], run_id: str, as_of: date) -> list[Took]:
    """The newest success per step and slice: of this run, or of earlier ones where this run had nothing to do.

    Slices of other as-of dates are left out; failed and running attempts are, too.
    """
    done: dict[tuple[str, str], Record] = {}
    for record in records:
        dates = _DATE.findall(record.slice)
        here = record.run_id == run_id or not dates or as_of.isoformat() in dates
        if record.status == "done" and here and record.step != "report":
            done[record.step, record.slice] = record
    return [
        Took(r.step, r.slice, r.seconds, r.rows_in, r.rows_out, r.outputs, r.run_id != run_id)
        for r in sorted(done.values(), key=lambda r: r.attempt)
    ]


def models(folders: Mapping[str, str]) -> list[Model]:
    """What the model folders say of themselves; files that are missing or unreadable are passed over."""
    named = [(kind, uri.rstrip("/").rsplit("/", 1)[-1], uri) for kind, uri in sorted(folders.items())]
    files = ("metrics.json", "inputs.json")
    return [Model(kind, version, *(_flat(_json(uri, name)) for name in files)) for kind, version, uri in named]


def _json(uri: str, name: str) -> Any:
    system, path = filesystem(uri)
    try:
        with system.open_input_stream(f"{path}/{name}") as stream:
            return json.loads(stream.read())
    except (OSError, ValueError):
        return {}


def _flat(value: Any, prefix: str = "", most: int = 24) -> list[tuple[str, str]]:
    """Scalars of nested JSON objects as (dotted name, text); lists are left out."""
    found: list[tuple[str, str]] = []
    for name, below in value.items() if isinstance(value, dict) else ():
        if isinstance(below, dict):
            found += _flat(below, f"{prefix}{name}.", most)
        elif isinstance(below, float):
            found.append((f"{prefix}{name}", f"{below:.4g}"))
        elif isinstance(below, str | int):
            found.append((f"{prefix}{name}", str(below)))
    return found[:most]
