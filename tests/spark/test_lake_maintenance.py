"""Maintenance joins small files and deletes old ones; rows, and what each day's readers see, stay."""

import os
import re
import time
from datetime import date
from pathlib import Path

import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable

from shelfcast.errors import ContractError, ShelfcastError, TableMissing
from shelfcast.lake import maintenance
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.maintenance import Maintained, maintain
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.tables import CONTRACTS

TABLE = "gold/recommendations"
FIRST, SECOND = date(2017, 1, 1), date(2017, 1, 8)
GIVEN_DAYS = 30


@pytest.fixture
def lists(spark, lake, step):
    """Writes places of users' lists of a day to several small files; returns the version."""

    def write(day: date, users: str, score: float = 1.0) -> int:
        rows = [(day, user, 1, "p", score, "novel", "m") for user in users]
        made = spark.createDataFrame(rows, CONTRACTS[TABLE].schema()).repartition(len(users), "user_id")
        step().replace(TABLE, made, [day])
        return lake.version(TABLE)

    return write


@pytest.fixture
def run(lake, settings):
    def maintained(*names: str, dry_run: bool = False) -> dict[str, Maintained]:
        done = maintain(lake, settings, names, dry_run, lambda _: None)
        return {one.table: one for one in done}

    return maintained


def files(lake, day: date) -> list[Path]:
    return sorted(Path(lake.uri, TABLE, f"as_of={day}").glob("*.parquet"))


def seen(lake, day: date) -> list[tuple[str, float]]:
    """What readers of a day see."""
    version = Ledger(lake.uri).published(day)[TABLE]
    rows = Snapshot(lake.uri, TABLE, version).arrow(where=pc.field("as_of") == day).to_pylist()
    return sorted((row["user_id"], row["score"]) for row in rows)


def age(lake, days: int) -> None:
    """Let all files look as old as that, also to the log that says when one was removed."""
    old = time.time() - days * 86400
    for path in Path(lake.uri, TABLE).rglob("*"):
        if path.suffix == ".parquet":
            os.utime(path, (old, old))
    for log in Path(lake.uri, TABLE, "_delta_log").glob("*.json"):
        text = log.read_text()
        log.write_text(re.sub(r'"deletionTimestamp":\d+', f'"deletionTimestamp":{old * 1000:.0f}', text))


def test_small_files_of_a_slice_become_one_and_rows_stay(lake, lists, run):
    lists(FIRST, "abcd")
    lists(SECOND, "a")
    Ledger(lake.uri).publish(FIRST, {TABLE: 0}, "run")
    before = Snapshot(lake.uri, TABLE).arrow().sort_by([("as_of", "ascending"), ("user_id", "ascending")])

    done = run(TABLE)[TABLE]

    assert (done.slices, done.files_after, done.deleted) == (1, 2, 0)
    assert done.files > 2
    after = Snapshot(lake.uri, TABLE).arrow().sort_by([("as_of", "ascending"), ("user_id", "ascending")])
    assert after.equals(before)
    assert run(TABLE)[TABLE].slices == 0


def test_days_move_on_to_the_newest_version_only_while_their_slice_is_the_same(lake, lists, run):
    first = lists(FIRST, "abcd", 1.0)
    second = lists(SECOND, "abcd", 2.0)
    Ledger(lake.uri).publish(FIRST, {TABLE: first, "gold/totals": 3}, "first")
    Ledger(lake.uri).publish(SECOND, {TABLE: second}, "second")
    lists(SECOND, "xyz", 9.0)  # scored anew, but not published

    done = run(TABLE)[TABLE]

    assert done.moved == 1
    newest = Snapshot(lake.uri, TABLE).version
    assert Ledger(lake.uri).published(FIRST) == {TABLE: newest, "gold/totals": 3}
    assert Ledger(lake.uri).published(SECOND) == {TABLE: second}
    assert seen(lake, FIRST) == [(user, 1.0) for user in "abcd"]
    assert seen(lake, SECOND) == [(user, 2.0) for user in "abcd"]


def test_old_files_go_unless_a_published_version_needs_them(lake, lists, run):
    Ledger(lake.uri).publish(FIRST, {TABLE: lists(FIRST, "abcd", 1.0)}, "first")
    Ledger(lake.uri).publish(SECOND, {TABLE: lists(SECOND, "abcd", 2.0)}, "second")
    lists(SECOND, "xyz", 9.0)
    orphan = Path(lake.uri, TABLE, f"as_of={FIRST}", "part-of-a-write-that-was-killed.parquet")
    orphan.write_bytes(b"PAR1")
    young = run(TABLE)[TABLE]
    uri = str(Path(lake.uri, TABLE))
    needed = {
        *DeltaTable(uri).file_uris(),
        *DeltaTable(uri, version=Ledger(lake.uri).published(SECOND)[TABLE]).file_uris(),
    }
    stored = {str(path) for day in (FIRST, SECOND) for path in files(lake, day)}
    age(lake, GIVEN_DAYS + 1)

    old = run(TABLE)[TABLE]

    assert (young.deleted, old.deleted) == (0, len(stored - needed))
    assert {str(path) for day in (FIRST, SECOND) for path in files(lake, day)} == needed
    assert str(orphan) in stored
    assert seen(lake, FIRST) == [(user, 1.0) for user in "abcd"]
    assert seen(lake, SECOND) == [(user, 2.0) for user in "abcd"]


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(lake, lists, run):
    lists(FIRST, "abcd")
    before = {path: path.stat().st_mtime_ns for path in Path(lake.uri).rglob("*") if path.is_file()}

    planned = run(dry_run=True)[TABLE]

    assert (planned.slices, planned.files_after, planned.moved) == (1, None, 0)
    assert {path: path.stat().st_mtime_ns for path in Path(lake.uri).rglob("*") if path.is_file()} == before


def test_all_tables_are_maintained_the_ledger_too_and_it_is_noted(lake, lists, run):
    lists(FIRST, "abcd")
    for number in range(3):
        Ledger(lake.uri).fail(Ledger(lake.uri).start(f"r{number}", "ingest", "*", ""), "no")

    done = run()

    assert done[TABLE].files_after == 1
    assert done["ops/runs"].files_after < done["ops/runs"].files
    *failed, noted = Ledger(lake.uri).records()
    assert [record.run_id for record in failed] == ["r0", "r1", "r2"]
    assert (noted.step, noted.status) == ("maintain", "done")
    assert {one["table"] for one in noted.counts["tables"]} == done.keys()


def test_a_failure_is_noted_and_names_the_table(lake, lists, run, monkeypatch):
    lists(FIRST, "abcd")
    monkeypatch.setattr(maintenance._Table, "_compact", lambda *_: (_ for _ in ()).throw(RuntimeError("a conflict")))

    with pytest.raises(ShelfcastError, match=f"table {TABLE}: a conflict; run maintain once more"):
        run(TABLE)

    assert [record.status for record in Ledger(lake.uri).records()] == ["failed"]


def test_wrong_names_are_refused_before_anything_is_done(lake, lists, run):
    lists(FIRST, "abcd")
    with pytest.raises(ContractError, match="there is no table gold/nothing"):
        run(TABLE, "gold/nothing")
    with pytest.raises(TableMissing, match="gold/totals"):
        run(TABLE, "gold/totals")
    assert Ledger(lake.uri).records() == []


def test_what_somebody_writes_meanwhile_is_not_published(lake, lists, run, monkeypatch):
    Ledger(lake.uri).publish(FIRST, {TABLE: lists(FIRST, "abcd", 1.0)}, "first")
    compact = maintenance._Table._compact

    def slowly(*given) -> None:
        compact(*given)
        lists(FIRST, "xyz", 9.0)

    monkeypatch.setattr(maintenance._Table, "_compact", slowly)

    done = run(TABLE)[TABLE]

    assert (done.slices, done.moved) == (1, 0)
    assert seen(lake, FIRST) == [(user, 1.0) for user in "abcd"]
