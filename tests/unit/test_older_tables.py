"""Tables that an older or a newer version of shelfcast has written, as they are read without a JVM."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

from shelfcast.lake.commits import arrow_schema
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Outcome
from shelfcast.lake.tables import contract


def without(table: str, *names: str) -> pa.Schema:
    return pa.schema([field for field in arrow_schema(contract(table)) if field.name not in names])


def test_a_column_declared_since_is_there_and_null(tmp_path: Path) -> None:
    rows = pa.table({"week_start": ["2024-01-01"], "product_id": ["a"], "grain": ["week.product"]})
    write_deltalake(tmp_path / "gold/covariates", rows)

    found = Snapshot(str(tmp_path), "gold/covariates").arrow(["product_id", "display"])

    assert found.to_pylist() == [{"product_id": "a", "display": None}]
    assert found.schema.field("display").type == pa.float32()
    assert Snapshot(str(tmp_path), "gold/covariates").count(pc.field("display").is_null()) == 1


def test_a_ledger_written_before_a_column_was_declared_goes_on(tmp_path: Path) -> None:
    old = {"run_id": "old", "step": "ingest", "slice": "*", "attempt": 1, "status": "done", "fingerprint": "f"}
    schema = without("ops/runs", "error", "counts", "seconds")
    row = dict.fromkeys(schema.names) | old | {"started_at": 0}
    write_deltalake(tmp_path / "ops/runs", pa.Table.from_pylist([row], schema=schema))
    ledger = Ledger(str(tmp_path))

    ledger.finish(ledger.start("new", "ingest", "*", "g"), None, Outcome(counts={"seen": 1}))

    first, second = ledger.records()
    assert (first.run_id, first.counts, first.error) == ("old", {}, None)
    assert (second.attempt, second.status, second.counts) == (2, "done", {"seen": 1})


def test_a_ledger_that_a_newer_version_has_written_is_read(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path))
    ledger.start("r", "ingest", "*", "f")
    stored = DeltaTable(tmp_path / "ops/runs").to_pyarrow_table()
    newer = stored.append_column("tomorrow", pa.array(["x"]))
    write_deltalake(tmp_path / "ops/runs", newer, mode="overwrite", schema_mode="overwrite")

    assert [record.run_id for record in ledger.records()] == ["r"]
    ledger.finish(ledger.records()[0], None, Outcome())
    assert [record.status for record in ledger.records()] == ["done"]
