"""Puts a table of gold back to what it was after an earlier run, by one commit and without a JVM.

Nothing is deleted: the later versions stay readable until maintenance removes their files. A step that wrote what is
taken back still counts as done, so that the next run does not simply bring it back: it runs again when its code,
configuration or inputs change, or with --force. What reads the table has other inputs now and does run again.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from shelfcast.errors import ShelfcastError, TableMissing
from shelfcast.lake.ledger import ERASE, ROLLBACK, Ledger, Record, new_run_id
from shelfcast.lake.locks import EVERYTHING, Locks
from shelfcast.lake.paths import normalise, storage_options, table_uri
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Outcome
from shelfcast.lake.tables import contract
from shelfcast.settings import Locks as Terms

_TOLD = 5


@dataclass(frozen=True)
class RolledBack:
    """What was done to a table, or would be.

    Attributes:
        table: its name.
        restored: the version that it is the same as now.
        version_before: the newest version before.
        version: the newest one now; None where nothing was done.
        moved: days whose readers see the restored rows now.
        withdrawn: days that were published later and have no rows in the restored version; nothing is published for
            them any more, of any table.
    """

    table: str
    restored: int
    version_before: int
    version: int | None
    moved: list[date]
    withdrawn: list[date]


def roll_back(
    lake: str, table: str, run_id: str, terms: Terms, say: Callable[[str], None], *, dry_run: bool = False
) -> RolledBack:
    """Make a table what it was after a run.

    Raises:
        ContractError: if there is no such table.
        ShelfcastError: if it is none of gold, if the run did not write it, if a person was erased from it since, or if
            files of that version are deleted.
        LakeBusy: if another run writes what would be changed.
    """
    promised = contract(table)
    if not table.startswith("gold/"):
        raise ShelfcastError(
            f"table {table}: only tables of gold are rolled back; what is raw or clean follows from the files: take "
            "the bad ones out of the source, or correct them, and run ingest"
        )
    lake = normalise(lake)
    ledger = Ledger(lake)
    target = _written(ledger.records(), lake, table, run_id)
    if promised.personal and (since := [one for one in ledger.records() if _erased(one, target.attempt)]):
        raise ShelfcastError(
            f"table {table}: run {run_id} wrote it before somebody was erased from it ({since[-1].run_id}), and would "
            "bring what was erased back: choose a later run"
        )
    found = _planned(ledger, lake, table, target.outputs[table])
    if dry_run:
        return found
    own = new_run_id()
    locks = Locks(lake, own, terms)
    with ExitStack() as held:
        for day in sorted({*found.moved, *found.withdrawn}) if promised.slice == "as_of" else ():
            held.enter_context(locks.held(day.isoformat(), say))
        held.enter_context(locks.held(EVERYTHING, say))
        found = _planned(ledger, lake, table, target.outputs[table])
        contents = ledger.contents(target.attempt).get(table, {})
        record = ledger.start(own, ROLLBACK, table, "")
        try:
            version = _restored(lake, table, found.restored)
        except DeltaError as error:
            ledger.fail(record, str(error))
            raise ShelfcastError(
                f"table {table}: version {found.restored}, which run {run_id} wrote, cannot be restored, most likely "
                f"because maintenance has deleted its files ({str(error).splitlines()[0]}); nothing was changed"
            ) from error
        ledger.withdraw(found.withdrawn)
        ledger.move(table, found.moved, version)
        ledger.finish(record, None, Outcome(counts={"to": run_id, "version": version}, contents={table: contents}))
    return RolledBack(table, found.restored, found.version_before, version, found.moved, found.withdrawn)


def _erased(record: Record, attempt: int) -> bool:
    return record.step == ERASE and record.attempt > attempt


def _written(records: Sequence[Record], lake: str, table: str, run_id: str) -> Record:
    """The last success of a run that wrote the table."""
    wrote = [one for one in records if one.status == "done" and table in one.outputs]
    own = [one for one in wrote if one.run_id == run_id]
    if not own:
        listed = ", ".join(f"{one.run_id} ({one.step} {one.slice})" for one in wrote[: -_TOLD - 1 : -1])
        raise TableMissing(
            f"run {run_id} did not write table {table} in the lake {lake}; the newest that did: {listed or 'none'}"
        )
    return own[-1]


def _planned(ledger: Ledger, lake: str, table: str, version: int) -> RolledBack:
    sliced = contract(table).slice == "as_of"
    there = set(_snapshot(lake, table, version).slices()) if sliced else set()
    later = [day for day, seen in ledger.publications().items() if seen.get(table, -1) > version]
    moved = [day for day in later if not sliced or day.isoformat() in there]
    before = Snapshot(lake, table).version
    return RolledBack(table, version, before, None, moved, [day for day in later if day not in moved])


def _snapshot(lake: str, table: str, version: int) -> Snapshot:
    try:
        return Snapshot(lake, table, version)
    except DeltaError as error:
        raise ShelfcastError(
            f"table {table}: the log of version {version} is deleted, it cannot be restored"
        ) from error


def _restored(lake: str, table: str, version: int) -> int:
    """The number of the new version, equal to an older one."""
    uri = table_uri(lake, table)
    delta = DeltaTable(uri, storage_options=storage_options(uri))
    if delta.version() != version:
        delta.restore(version)
    return int(delta.version())
