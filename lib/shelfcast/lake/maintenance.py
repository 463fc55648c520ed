"""Keeps tables quick to read and small: joins small files, orders rows, deletes what no reader sees any more.

Rows stay what they are, and so do fingerprints of steps; Delta versions rise. Published versions move on to the newest
one wherever their slice still consists of the same files, so that the others can go.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import pyarrow as pa
from delta.tables import DeltaTable as SparkTable
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from shelfcast.errors import ShelfcastError, TableMissing
from shelfcast.lake import overview
from shelfcast.lake.ledger import Ledger, new_run_id
from shelfcast.lake.locks import EVERYTHING, Locks
from shelfcast.lake.paths import storage_options, table_uri
from shelfcast.lake.step import Outcome
from shelfcast.lake.store import Lake, SliceValue, where
from shelfcast.lake.tables import contract
from shelfcast.settings import Maintenance, Settings

_MB = 1 << 20
_SMALLEST, _LARGEST = (f"spark.databricks.delta.optimize.{name}FileSize" for name in ("min", "max"))
_NOTED = "spark.databricks.delta.commitInfo.userMetadata"
# Ordered rows are found by the footers of their files; tables keep no statistics of columns in their logs.
_UNCHECKED = "spark.databricks.delta.optimize.zorder.checkStatsCollection.enabled"


@dataclass(frozen=True)
class Maintained:
    """What was done to a table, or would be.

    Attributes:
        table: its name.
        slices: how many were written anew because small files lay in them.
        files: how many the newest version had before.
        files_after: how many it has now; None where nothing was done.
        moved: days whose published version was moved on.
        deleted: files that no version needs which anybody may still read.
    """

    table: str
    slices: int
    files: int
    files_after: int | None
    moved: int
    deleted: int


def maintain(
    lake: Lake, settings: Settings, names: Sequence[str], dry_run: bool, say: Callable[[str], None]
) -> list[Maintained]:
    """Maintain tables, all of them if none is named, one after the other; noted in ops/runs as step ``maintain``.

    With ``dry_run`` nothing is written. Ingest and features wait until it is done. Another writer at work in the same
    slices makes a table's compaction fail with Delta's conflict; the tables stay as they were, it can be run again.

    Raises:
        ContractError: if a name is no table's.
        TableMissing: if a named table has not been written.
        LakeBusy: if another run writes what all slices share.
    """
    for name in names:
        contract(name)
        if not lake.exists(name):
            raise TableMissing(f"table {name} is not in the lake {lake.uri}; shelfcast tables lists those that are")
    chosen = list(names) or overview.names(lake.uri)
    ledger = Ledger(lake.uri)
    if dry_run:
        return [_Table(lake, ledger, name, settings.maintenance).planned() for name in chosen]
    run_id = new_run_id()
    with Locks(lake.uri, run_id, settings.locks).held(EVERYTHING, say):
        return _maintained(lake, ledger, settings.maintenance, chosen, run_id, say)


def _maintained(
    lake: Lake, ledger: Ledger, given: Maintenance, chosen: Sequence[str], run_id: str, say: Callable[[str], None]
) -> list[Maintained]:
    record = ledger.start(run_id, "maintain", "*", "")
    done: list[Maintained] = []
    try:
        for name in chosen:
            say(name)
            done.append(_Table(lake, ledger, name, given).maintained(run_id))
    except Exception as error:
        ledger.fail(record, str(error))
        if isinstance(error, ShelfcastError):
            raise
        raise ShelfcastError(f"table {name}: {str(error).splitlines()[0]}; run maintain once more") from error
    ledger.finish(record, None, Outcome(counts={"tables": [asdict(one) for one in done]}))
    return done


class _Table:
    def __init__(self, lake: Lake, ledger: Ledger, name: str, given: Maintenance) -> None:
        self._lake, self._ledger, self._name, self._given = lake, ledger, name, given
        self._uri = table_uri(lake.uri, name)
        self._slice = contract(name).slice

    def planned(self) -> Maintained:
        files = self._files()
        crowded = self._crowded(files)
        gone = self._vacuumed(dry_run=True)
        return Maintained(self._name, len(crowded), _count(files), None, 0, len(gone))

    def maintained(self, run_id: str) -> Maintained:
        before = self._delta().version()
        files = self._files(before)
        crowded = self._crowded(files)
        if crowded:
            self._compact(crowded, run_id)
        newest = self._delta().version()
        # Any commit between was somebody else's, and may have written what nobody has published yet.
        moved = self._move_published(files, newest) if newest == before + bool(crowded) else 0
        gone = self._vacuumed(dry_run=True)
        if gone:
            gone = self._vacuumed(dry_run=False)
        return Maintained(self._name, len(crowded), _count(files), _count(self._files()), moved, len(gone))

    def _delta(self, version: int | None = None) -> DeltaTable:
        return DeltaTable(self._uri, version=version, storage_options=storage_options(self._uri))

    def _files(self, version: int | None = None) -> Mapping[Any, Mapping[str, int]]:
        """Slice (None where the table has none) → path → bytes, in a version."""
        adds = pa.table(self._delta(version).get_add_actions(flatten=True))
        found: dict[Any, dict[str, int]] = defaultdict(dict)
        slices = adds[f"partition.{self._slice}"].to_pylist() if self._slice else [None] * adds.num_rows
        for key, path, size in zip(slices, adds["path"].to_pylist(), adds["size_bytes"].to_pylist(), strict=True):
            found[key][path] = size
        return found

    def _crowded(self, files: Mapping[Any, Mapping[str, int]]) -> list[Any]:
        """Slices in which two files would fit into one."""
        return [
            key for key, sizes in files.items() if len(sizes) > 1 and sum(sorted(sizes.values())[:2]) <= self._target()
        ]

    def _target(self) -> int:
        return self._given.file_mb * _MB

    def _compact(self, slices: Sequence[SliceValue | None], run_id: str) -> None:
        promised = contract(self._name)
        target = str(self._target())
        with _set(self._lake.spark, {_SMALLEST: target, _LARGEST: target, _NOTED: run_id, _UNCHECKED: "false"}):
            work = SparkTable.forPath(self._lake.spark, self._uri).optimize()
            if self._slice is not None:
                work = work.where(where(promised, self._name, [one for one in slices if one is not None]))
            if promised.clustered:
                work.executeZOrderBy(*promised.clustered)
            else:
                work.executeCompaction()

    def _move_published(self, before: Mapping[Any, Mapping[str, int]], newest: int) -> int:
        """Let days be read from the newest version if their slice was the same in the one that they were read from."""
        moved: list[date] = []
        known: dict[int, Mapping[Any, Mapping[str, int]]] = {}
        for day, version in self._published().items():
            if version == newest:
                continue
            if version not in known:
                known[version] = self._files(version)
            key = day if self._slice == "as_of" else None
            if known[version].get(key, {}).keys() == before.get(key, {}).keys():
                moved.append(day)
        self._ledger.move(self._name, moved, newest)
        return len(moved)

    def _published(self) -> dict[date, int]:
        """The version that readers of each day see."""
        listed = self._ledger.publications()
        return {day: versions[self._name] for day, versions in listed.items() if self._name in versions}

    def _vacuumed(self, *, dry_run: bool) -> list[str]:
        keep = sorted(set(self._published().values()))
        return self._delta().vacuum(
            retention_hours=24 * self._given.retain_days, dry_run=dry_run, full=True, keep_versions=keep or None
        )


def _count(files: Mapping[Any, Mapping[str, int]]) -> int:
    return sum(map(len, files.values()))


@contextmanager
def _set(spark: SparkSession, options: Mapping[str, str]) -> Iterator[None]:
    """Settings of a session for as long as this lasts."""
    before = {key: spark.conf.get(key, None) for key in options}
    for key, value in options.items():
        spark.conf.set(key, value)
    try:
        yield
    finally:
        for key, old in before.items():
            if old is None:
                spark.conf.unset(key)
            else:
                spark.conf.set(key, old)
