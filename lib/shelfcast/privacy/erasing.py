"""Removes a person from every table, report and later reading of the same raw files.

Rows go in one commit a table that rewrites only the files which held any. Earlier versions keep the old files for as
many days as maintenance does, ``maintenance.retain_days``, and are gone after that; or at once, at the price of readers
of earlier versions. Sums over all users, such as gold/demand, stay: they name nobody. The forecaster learns from these;
what learns from single users is trained anew by the next run.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from pyarrow import fs

from shelfcast.errors import TableMissing
from shelfcast.ingest.erased import TABLE, mark, marks
from shelfcast.ingest.identity import load_key
from shelfcast.lake.commits import commit, newest, until_won
from shelfcast.lake.deleting import Deletion
from shelfcast.lake.ledger import ERASE, Ledger, Record, new_run_id
from shelfcast.lake.locks import EVERYTHING, Locks
from shelfcast.lake.paths import filesystem
from shelfcast.lake.step import Outcome
from shelfcast.lake.store import Lake
from shelfcast.lake.table_files import TableFiles
from shelfcast.lake.tables import contract
from shelfcast.privacy.persons import Person, stored_forms
from shelfcast.privacy.traces import Trace, traces
from shelfcast.settings import Settings


@dataclass
class Erasure:
    """What was removed, or would be.

    Attributes:
        rows: table → how many rows.
        raw_files: of the sources, that name the person; they are the shop's own and stay as they are.
        reports: how many were deleted, for they show a few users' lists without names.
        withdrawn: days whose published lists were not those of the newest version: nothing is published for them.
        gone_by: the first day on which maintenance leaves no earlier version; None: no earlier version is left.
    """

    rows: dict[str, int] = field(default_factory=dict)
    raw_files: list[str] = field(default_factory=list)
    reports: int = 0
    withdrawn: list[date] = field(default_factory=list)
    gone_by: date | None = None


def erase(
    lake: Lake, settings: Settings, user: str, say: Callable[[str], None], *, now: bool = False, dry_run: bool = False
) -> Erasure:
    """Erase a person.

    Args:
        user: an id as the logs have it, or as the tables have it.
        now: delete files of earlier versions at once.
        dry_run: only say what would be done.

    Raises:
        TableMissing: if nothing in the lake is about that person, nor was ever erased.
        ConfigError: if the configuration does not name a source that the lake has records of.
        LakeBusy: if another run writes to the lake.
    """
    key = load_key(settings, lake.uri, say)
    person = Person(lake, settings, stored_forms(user, key))
    if dry_run:
        return _found(person, key)
    ledger, run_id = Ledger(lake.uri), new_run_id()
    locks = Locks(lake.uri, run_id, settings.locks)
    with ExitStack() as held:
        for scope in sorted({record.slice for record in ledger.records() if _is_day(record.slice)}):
            held.enter_context(locks.held(scope, say))
        held.enter_context(locks.held(EVERYTHING, say))
        found = _found(person, key)
        return _Erasing(person, ledger, ledger.start(run_id, ERASE, "*", ""), say).run(found, key, now)


def remains(lake: Lake, settings: Settings, user: str, say: Callable[[str], None]) -> list[Trace]:
    """Every place in the lake, files of earlier versions among them, that still tells a person's id or its keyed hash.

    Everything is read on this machine.
    """
    person = Person(lake, settings, stored_forms(user, load_key(settings, lake.uri, say)))
    columns = {"user_id"}.union(*(person.columns(table) for table in person.bronze))
    return traces(lake.uri, person.forms, columns)


def _found(person: Person, key: bytes) -> Erasure:
    rows = {one.table: number for one in person.deletions() if (number := one.count(person.lake))}
    known = marks(person.lake.uri)
    if not rows and not any(mark(one, key) in known for one in person.ids):
        raise TableMissing(
            f"no table of the lake {person.lake.uri} has a row about that person: write the id as the logs have it, or "
            "as user_id has it, and mind that ids are texts, 007 is not 7"
        )
    reports = len(_reports(person.lake.uri)) if rows else 0
    return Erasure(rows, person.raw_files() if rows else [], reports)


@dataclass
class _Erasing:
    person: Person
    ledger: Ledger
    record: Record
    say: Callable[[str], None]

    def run(self, found: Erasure, key: bytes, now: bool) -> Erasure:
        lake = self.person.lake
        try:
            self._mark(key)
            for one in self.person.deletions():
                if found.rows.get(one.table):
                    self._delete(one, found)
            for path in _reports(lake.uri):
                filesystem(lake.uri)[0].delete_file(path)
            retained = 0 if now else self.person.settings.maintenance.retain_days
            for table in {one.table for one in self.person.deletions()} if now else ():
                TableFiles(self.ledger, table).vacuumed(retained, dry_run=False)
        except BaseException as error:
            self.ledger.fail(self.record, str(error) or type(error).__name__)
            raise
        found.gone_by = None if now else datetime.now(UTC).date() + timedelta(days=retained + 1)
        self.ledger.finish(self.record, None, Outcome(counts={"rows": found.rows, "reports": found.reports}))
        return found

    def _mark(self, key: bytes) -> None:
        """First of all: what a raw file brings back is out of reach of whoever runs this again."""
        uri, at = self.person.lake.uri, datetime.now(UTC)
        new = sorted({mark(one, key) for one in self.person.ids} - marks(uri))
        rows = [{"mark": one, "erased_at": at, "run_id": self.record.run_id} for one in new]
        if rows:
            until_won(lambda: commit(newest(uri, TABLE), rows, "append") or None)

    def _delete(self, one: Deletion, found: Erasure) -> None:
        stored = TableFiles(self.ledger, one.table)
        before = stored.files()
        one.run(self.person.lake, self.record.run_id)
        self.say(f"{one.table}: {found.rows[one.table]:,} row(s)")
        if contract(one.table).slice == "as_of":
            stored.move_published(before, stored.version())
            behind = [day for day, version in stored.published().items() if version < stored.version()]
            self.ledger.withdraw(behind)
            found.withdrawn += behind


def _reports(lake: str) -> list[str]:
    files, inner = filesystem(lake)
    listed = files.get_file_info(fs.FileSelector(f"{inner}/reports", recursive=True, allow_not_found=True))
    return [one.path for one in listed if one.is_file]


def _is_day(slice_: str) -> bool:
    try:
        date.fromisoformat(slice_)
    except ValueError:
        return False
    return True
