"""Keeps tables quick to read and small: joins small files, orders rows, deletes what no reader sees any more.

Rows stay what they are, and so do fingerprints of steps; Delta versions rise. Published versions move on to the newest
one wherever their slice still consists of the same files, so that the others can go.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from delta.tables import DeltaTable as SparkTable

from shelfcast.errors import ShelfcastError, TableMissing
from shelfcast.lake import overview
from shelfcast.lake.deleting import NOTED, set_options
from shelfcast.lake.ledger import Ledger, new_run_id
from shelfcast.lake.locks import EVERYTHING, Locks
from shelfcast.lake.paths import table_uri
from shelfcast.lake.step import Outcome
from shelfcast.lake.store import Lake, SliceValue, where
from shelfcast.lake.table_files import Files, TableFiles
from shelfcast.lake.tables import contract
from shelfcast.settings import Maintenance, Settings

_MB = 1 << 20
_SMALLEST, _LARGEST = (f"spark.databricks.delta.optimize.{name}FileSize" for name in ("min", "max"))
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
        self._lake, self._name, self._given = lake, name, given
        self._stored = TableFiles(ledger, name)

    def planned(self) -> Maintained:
        files = self._stored.files()
        crowded = self._crowded(files)
        gone = self._stored.vacuumed(self._given.retain_days, dry_run=True)
        return Maintained(self._name, len(crowded), _count(files), None, 0, len(gone))

    def maintained(self, run_id: str) -> Maintained:
        before = self._stored.version()
        files = self._stored.files(before)
        crowded = self._crowded(files)
        if crowded:
            self._compact(crowded, run_id)
        newest = self._stored.version()
        # Any commit between was somebody else's, and may have written what nobody has published yet.
        moved = self._stored.move_published(files, newest) if newest == before + bool(crowded) else []
        gone = self._stored.vacuumed(self._given.retain_days, dry_run=True)
        if gone:
            gone = self._stored.vacuumed(self._given.retain_days, dry_run=False)
        after = _count(self._stored.files())
        return Maintained(self._name, len(crowded), _count(files), after, len(moved), len(gone))

    def _crowded(self, files: Files) -> list[Any]:
        """Slices in which two files would fit into one."""
        return [
            key for key, sizes in files.items() if len(sizes) > 1 and sum(sorted(sizes.values())[:2]) <= self._target()
        ]

    def _target(self) -> int:
        return self._given.file_mb * _MB

    def _compact(self, slices: Sequence[SliceValue | None], run_id: str) -> None:
        promised = contract(self._name)
        target = str(self._target())
        noted = {_SMALLEST: target, _LARGEST: target, NOTED: run_id, _UNCHECKED: "false"}
        with set_options(self._lake.spark, noted):
            work = SparkTable.forPath(self._lake.spark, table_uri(self._lake.uri, self._name)).optimize()
            if promised.slice is not None:
                work = work.where(where(promised, self._name, [one for one in slices if one is not None]))
            if promised.clustered:
                work.executeZOrderBy(*promised.clustered)
            else:
                work.executeCompaction()


def _count(files: Files) -> int:
    return sum(map(len, files.values()))
