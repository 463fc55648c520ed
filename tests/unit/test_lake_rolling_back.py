"""A table of gold goes back to what it was after a run: rows, what readers see, and what the ledger knows."""

import json
from datetime import date

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from shelfcast.cli import main
from shelfcast.errors import ShelfcastError, TableMissing
from shelfcast.lake import overview
from shelfcast.lake.commits import arrow_schema
from shelfcast.lake.ledger import ERASE, Ledger
from shelfcast.lake.rolling_back import roll_back
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Outcome
from shelfcast.lake.tables import contract
from shelfcast.settings import Locks

TABLE = "gold/forecasts"
EARLIER, LATER = date(2024, 3, 3), date(2024, 3, 10)
TERMS = Locks(wait_minutes=0, lease_minutes=1)


class Wrote:
    def __init__(self, version):
        self.inputs, self.outputs = {}, {TABLE: version}


class Shop:
    """A lake whose forecasts are written and published run by run."""

    def __init__(self, uri):
        self.uri, self.ledger = uri, Ledger(uri)

    def score(self, run_id, day, mean):
        row = {
            "as_of": day, "grain": "week.product", "product_id": "p1", "store_id": "*", "target_start": day,
            "horizon": 1, "cumulative": False, "q10": 0.0, "q50": mean, "q90": mean, "mean": mean,
            "family": "negative_binomial", "model_version": run_id,
        }  # fmt: skip
        schema = arrow_schema(contract(TABLE))
        full = {name: row.get(name) for name in schema.names}
        for field in schema:
            if full[field.name] is None and not field.nullable:
                full[field.name] = [] if pa.types.is_list(field.type) else ""
        record = self.ledger.start(run_id, "score forecasts", str(day), run_id)
        write_deltalake(
            f"{self.uri}/{TABLE}", pa.Table.from_pylist([full], schema=schema), mode="overwrite",
            predicate=f"as_of = '{day}'" if Snapshot.exists(self.uri, TABLE) else None, partition_by=["as_of"],
        )  # fmt: skip
        version = Snapshot(self.uri, TABLE).version
        self.ledger.finish(record, Wrote(version), Outcome(contents={TABLE: {str(day): run_id}}))
        self.ledger.publish(day, {TABLE: version, "gold/totals": 0}, run_id)

    def means(self, version=None):
        rows = Snapshot(self.uri, TABLE, version).arrow(["as_of", "mean"]).to_pylist()
        return {row["as_of"]: row["mean"] for row in rows}

    def seen(self, day):
        return self.means(overview.published(self.uri, TABLE, day)[0].version)[day]


@pytest.fixture
def shop(tmp_path):
    made = Shop(str(tmp_path / "lake"))
    made.score("run-1", EARLIER, 1.0)
    made.score("run-2", LATER, 2.0)
    made.score("run-3", EARLIER, 300.0)
    return made


def test_rows_readers_and_contents_are_what_they_were_and_nothing_is_deleted(shop):
    done = roll_back(shop.uri, TABLE, "run-2", TERMS, print)
    assert (done.restored, done.version_before, done.version, done.moved, done.withdrawn) == (1, 2, 3, [EARLIER], [])
    assert shop.means() == {EARLIER: 1.0, LATER: 2.0}
    assert (shop.seen(EARLIER), shop.seen(LATER)) == (1.0, 2.0)
    assert shop.means(2) == {EARLIER: 300.0, LATER: 2.0}
    assert shop.ledger.contents()[TABLE] == {str(EARLIER): "run-1", str(LATER): "run-2"}
    assert shop.ledger.done("score forecasts", str(EARLIER), "run-3") is not None
    assert Ledger(shop.uri).records()[-1].counts == {"to": "run-2", "version": 3}


def test_days_that_came_later_are_published_no_more(shop):
    done = roll_back(shop.uri, TABLE, "run-1", TERMS, print)
    assert (done.moved, done.withdrawn) == ([EARLIER], [LATER])
    assert shop.means() == {EARLIER: 1.0}
    assert shop.ledger.published_days() == [EARLIER]
    assert shop.ledger.contents()[TABLE] == {str(EARLIER): "run-1"}
    with pytest.raises(TableMissing, match="nothing is published for as_of 2024-03-10"):
        overview.published(shop.uri, TABLE, LATER)
    shop.score("run-4", LATER, 4.0)
    assert shop.ledger.contents()[TABLE] == {str(EARLIER): "run-1", str(LATER): "run-4"}
    assert shop.seen(LATER) == 4.0


def test_a_rollback_can_be_taken_back(shop):
    roll_back(shop.uri, TABLE, "run-2", TERMS, print)
    roll_back(shop.uri, TABLE, "run-3", TERMS, print)
    assert shop.seen(EARLIER) == 300.0
    assert shop.ledger.contents()[TABLE] == {str(EARLIER): "run-3", str(LATER): "run-2"}


def test_one_that_was_cut_off_is_not_believed_and_can_be_run_again(shop, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "move", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            roll_back(shop.uri, TABLE, "run-2", TERMS, print)
    assert shop.seen(EARLIER) == 300.0
    assert TABLE not in shop.ledger.contents()
    roll_back(shop.uri, TABLE, "run-2", TERMS, print)
    assert shop.seen(EARLIER) == 1.0


def test_what_cannot_be_restored_is_refused_and_nothing_changes(shop):
    with pytest.raises(ShelfcastError, match="only tables of gold are rolled back"):
        roll_back(shop.uri, "silver/events", "run-1", TERMS, print)
    with pytest.raises(TableMissing, match=r"run nobody did not write table gold/forecasts .* run-3 \(score forecasts"):
        roll_back(shop.uri, TABLE, "nobody", TERMS, print)
    delta = DeltaTable(f"{shop.uri}/{TABLE}")
    delta.vacuum(0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(ShelfcastError, match="maintenance has deleted its files"):
        roll_back(shop.uri, TABLE, "run-2", TERMS, print)
    assert shop.seen(EARLIER) == 300.0
    assert shop.ledger.records()[-1].status == "failed"


def test_nobody_who_was_erased_comes_back(shop):
    table = "gold/recommendations"
    schema = arrow_schema(contract(table))
    row = {"as_of": EARLIER, "user_id": "u", "rank": 1, "product_id": "p", "score": 1.0, "reason": "novel"}
    for number, run_id in enumerate(("before", "after")):
        record = shop.ledger.start(run_id, "score recommendations", str(EARLIER), run_id)
        rows = pa.Table.from_pylist([row | {"model_version": run_id}], schema=schema)
        write_deltalake(f"{shop.uri}/{table}", rows, mode="overwrite")
        written = Wrote(number)
        written.outputs = {table: number}
        shop.ledger.finish(record, written, Outcome())
        if run_id == "before":
            shop.ledger.start("erasing", ERASE, "*", "")  # even one that was cut off
    with pytest.raises(ShelfcastError, match=r"wrote it before somebody was erased from it \(erasing\)"):
        roll_back(shop.uri, table, "before", TERMS, print)
    assert roll_back(shop.uri, table, "after", TERMS, print).restored == 1
    assert roll_back(shop.uri, TABLE, "run-2", TERMS, print).restored == 1, "a table that names nobody"


def test_the_command_says_what_it_would_do_and_does_it(shop, capsys):
    command = ["rollback", TABLE, "--to", "run-2", "--lake", shop.uri, "--json"]
    assert main([*command, "--dry-run"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["dry_run"], told["restored"], told["version"], told["moved"]) == (True, 1, None, ["2024-03-03"])
    assert shop.seen(EARLIER) == 300.0
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["version"] == 3
    assert shop.seen(EARLIER) == 1.0
    assert main(["rollback", TABLE, "--to", "run-9", "--lake", shop.uri]) == 1
    assert "run run-9 did not write table gold/forecasts" in capsys.readouterr().err
