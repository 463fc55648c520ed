"""Persons who were erased stay away: their records are left out when a raw file brings them once more.

``ops/erased`` holds keyed hashes of their ids with a salt of their own, which are neither the ids nor what the tables
hold in their place: without the key nobody can tell who they were.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.ingest.canonical import Reading, looks_up
from shelfcast.ingest.identity import hmac_sha256
from shelfcast.lake.expressions import references
from shelfcast.lake.snapshot import Snapshot

TABLE = "ops/erased"
_SALT = "erased/"


@dataclass(frozen=True)
class Erased:
    """Everybody who was erased from a lake.

    Attributes:
        marks: column ``mark`` of ops/erased.
        key: of the keyed hash.
    """

    marks: frozenset[str]
    key: bytes

    def among(self, ids: Sequence[str]) -> Column:
        """Whether a bronze record names one of them, by any of these expressions of ids."""
        marked = [F.coalesce(self._mark(text).isin(*self.marks), F.lit(False)) for text in ids]
        return reduce(or_, marked, F.lit(False))

    def _mark(self, text: str) -> Column:
        return hmac_sha256(F.concat(F.lit(_SALT), F.expr(text).cast("string")), self.key)


def mark(stored: str, key: bytes) -> str:
    """The mark of an id as it stands in the tables."""
    return hmac.new(key, f"{_SALT}{stored}".encode(), hashlib.sha256).hexdigest()


def marks(lake: str) -> frozenset[str]:
    """The marks of everybody who was erased."""
    if not Snapshot.exists(lake, TABLE):
        return frozenset()
    return frozenset(Snapshot(lake, TABLE).arrow(["mark"])["mark"].to_pylist())


def named(erased: Erased, readings: Sequence[Reading], policies: Mapping[str, str], frame: DataFrame) -> Column:
    """Whether a bronze record names somebody who was erased."""
    return erased.among(id_expressions(readings, policies, frame))


def id_expressions(readings: Sequence[Reading], policies: Mapping[str, str], frame: DataFrame) -> list[str]:
    """What in bronze records names a person by an id: SQL over the columns of a frame of them.

    Args:
        readings: all inputs that read these records.
        policies: from ``identity.policies``.
    """
    found = [f"`{name}`" for name, policy in policies.items() if policy in {"hash", "keep"} and name in frame.columns]
    for reading in readings:
        text = user_expression(reading, frame)
        if text is not None and text not in found:
            found.append(text)
    return found


def user_expression(reading: Reading, frame: DataFrame) -> str | None:
    """What ``user_id`` is made of, if bronze records alone tell it."""
    text = reading.given.columns.get("user_id")
    if text is None:
        return None
    names = references(frame.sparkSession, text, reading.key("columns.user_id"))
    return text if not looks_up(names) and all(name[0] in frame.columns for name in names) else None
