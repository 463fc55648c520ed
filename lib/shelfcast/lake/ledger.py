"""The ledger of runs: ops/runs, ops/published and ops/metrics, small tables written without a JVM."""

import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any

from shelfcast.lake.commits import commit, newest, until_won
from shelfcast.lake.paths import normalise
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Outcome, Step
from shelfcast.lake.tables import CONTRACTS

_BY_AS_OF = {name for name, one in CONTRACTS.items() if one.slice == "as_of"}
ROLLBACK = "rollback"  # the step that puts a table, its slice in ops/runs, back to what it was
ERASE = "erase"  # the step that removes a person from every table
CONTRIBUTION = "contribution"  # what the names of these metrics begin with


def new_run_id() -> str:
    """Sortable by time, unique across machines."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Record:
    """A row of ops/runs."""

    run_id: str
    step: str
    slice: str
    attempt: int
    status: str
    fingerprint: str
    started_at: datetime
    inputs: Mapping[str, int] = field(default_factory=dict)
    outputs: Mapping[str, int] = field(default_factory=dict)
    contents: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)
    rows_in: int | None = None
    rows_out: int | None = None
    seconds: float | None = None
    error: str | None = None
    depends: Mapping[str, str] = field(default_factory=dict)


class Ledger:
    """Reads and writes the ops tables of one lake."""

    def __init__(self, lake: str) -> None:
        self.lake = normalise(lake)
        self._known: tuple[int, list[Record]] = (-1, [])  # version of ops/runs, and what it holds

    def records(self) -> list[Record]:
        """Every attempt, oldest first."""
        if not Snapshot.exists(self.lake, "ops/runs"):
            return []
        snapshot = Snapshot(self.lake, "ops/runs")
        if snapshot.version != self._known[0]:
            rows = snapshot.arrow().sort_by("attempt").to_pylist()
            self._known = snapshot.version, [_record(row) for row in rows]
        return list(self._known[1])

    def start(
        self, run_id: str, step: str, slice_: str, fingerprint: str, depends: Mapping[str, str] | None = None
    ) -> Record:
        """Write the attempt down before it writes anything, so that its number is never used again.

        Args:
            depends: what the fingerprint is of → its hash.
        """

        def begin() -> Record | None:
            base = newest(self.lake, "ops/runs")
            attempt = 1 + max((row["attempt"] for row in base.rows(["attempt"])), default=0)
            began = datetime.now(UTC)
            record = Record(run_id, step, slice_, attempt, "running", fingerprint, began, depends=depends or {})
            return record if commit(base, [_row(record)], "append") else None

        return until_won(begin)

    def finish(self, record: Record, step: Step | None, outcome: Outcome) -> Record:
        """Write down a success; without a step, that of a chain of steps with entries of their own."""
        return self._close(
            record, status="done", inputs=step.inputs if step else {}, outputs=step.outputs if step else {},
            contents=outcome.contents, counts=outcome.counts, rows_in=outcome.rows_in, rows_out=outcome.rows_out,
            error=None,
        )  # fmt: skip

    def fail(self, record: Record, message: str, outputs: Mapping[str, int] | None = None) -> Record:
        """Write down a failure with its message and what had been written by then."""
        return self._close(record, status="failed", error=message, outputs=outputs or {})

    def _close(self, record: Record, **changes: Any) -> Record:
        seconds = (datetime.now(UTC) - record.started_at).total_seconds()
        closed = Record(**{**record.__dict__, "seconds": seconds, **changes})
        key = f"run_id = '{record.run_id}' AND step = '{record.step}' AND slice = '{record.slice}'"
        self._replace("ops/runs", [_row(closed)], key)
        return closed

    def done(self, step: str, slice_: str, fingerprint: str) -> Record | None:
        """The newest success of a step's slice, if nothing it depends on has changed since."""
        newest = self.newest(step, slice_)
        return newest if newest is not None and newest.fingerprint == fingerprint else None

    def newest(self, step: str, slice_: str) -> Record | None:
        """The newest success of a step's slice."""
        matching = [r for r in self.records() if (r.step, r.slice) == (step, slice_) and r.status == "done"]
        return matching[-1] if matching else None

    def contents(self, until: int | None = None) -> dict[str, dict[str, str]]:
        """Table → slice → content id of what successful attempts last wrote there.

        What a failed attempt wrote to, or an attempt that has not ended may have written to, holds nobody knows what:
        its ids are forgotten until a success writes it again. Of a table by as_of that is the attempt's own slice.

        Args:
            until: the last attempt that counts; None: all do.
        """
        found: dict[str, dict[str, str]] = defaultdict(dict)
        written: dict[str, set[str]] = defaultdict(set)
        for record in self.records():
            if until is not None and record.attempt > until:
                break
            if record.status == "done":
                written[record.step].update(record.contents)
                for table, slices in record.contents.items():
                    if record.step == ROLLBACK:
                        found[table] = {}  # slices that came later are gone
                    found[table].update(slices)
                continue
            lost = set(record.outputs) if record.status == "failed" else written[record.step]
            for table in {record.slice} if record.step == ROLLBACK else lost:
                if table in _BY_AS_OF and record.slice in found[table]:
                    del found[table][record.slice]
                elif table not in _BY_AS_OF or record.slice == "*" or record.step == ROLLBACK:
                    found.pop(table, None)
        return dict(found)

    def publish(self, as_of: date, versions: Mapping[str, int], run_id: str) -> None:
        """Make a run's tables the ones that readers of ``as_of`` see, in one commit."""
        rows = [{"as_of": as_of, "table": t, "version": v, "run_id": run_id} for t, v in sorted(versions.items())]
        self._replace("ops/published", rows, f"as_of = '{as_of.isoformat()}'")

    def move(self, table: str, days: Sequence[date], version: int) -> None:
        """Let readers of days see another version of a table, which holds the same, in one commit."""
        if not days:
            return
        rows = [row for row in Snapshot(self.lake, "ops/published").arrow().to_pylist() if row["as_of"] in set(days)]
        for row in rows:
            row["version"] = version if row["table"] == table else row["version"]
        self._replace("ops/published", rows, _one_of(days))

    def withdraw(self, days: Sequence[date]) -> None:
        """Let readers see nothing any more of these days, in one commit."""
        if days:
            self._replace("ops/published", [], _one_of(days))

    def published(self, as_of: date | None = None) -> dict[str, int]:
        """Table → version that readers of ``as_of`` (the newest if None) see."""
        found = self.publications()
        return found.get(as_of or max(found, default=date.min), {})

    def published_days(self) -> list[date]:
        return list(self.publications())

    def publications(self) -> dict[date, dict[str, int]]:
        """Day, from the first on → table → version that its readers see."""
        if not Snapshot.exists(self.lake, "ops/published"):
            return {}
        found: dict[date, dict[str, int]] = defaultdict(dict)
        for row in Snapshot(self.lake, "ops/published").arrow().sort_by("as_of").to_pylist():
            found[row["as_of"]][row["table"]] = row["version"]
        return dict(found)

    def replace_metrics(self, as_of: date, rows: Iterable[Mapping[str, Any]], way: str | None = None) -> int:
        """Replace what was measured of ``as_of`` and one way of knowing plans in one commit; returns how many rows."""
        listed = [dict(row) for row in rows]
        of_way = f"model LIKE '%{way_mark(way)}'" if way is not None else "model NOT LIKE '%]'"
        kept = f"metric NOT LIKE '{CONTRIBUTION}%'"  # what scoring has explained
        predicate = f"as_of = '{as_of.isoformat()}' AND {of_way} AND {kept}"
        self._replace("ops/metrics", listed, predicate)
        return len(listed)

    def replace_contributions(self, as_of: date, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace the metrics of ``as_of`` that say what drove its forecasts, in one commit."""
        predicate = f"as_of = '{as_of.isoformat()}' AND metric LIKE '{CONTRIBUTION}%'"
        self._replace("ops/metrics", [dict(row) for row in rows], predicate)

    def _replace(self, table: str, rows: list[dict[str, Any]], predicate: str) -> None:
        until_won(lambda: commit(newest(self.lake, table), rows, "overwrite", predicate) or None)


def _one_of(days: Sequence[date]) -> str:
    return f"as_of IN ({', '.join(repr(day.isoformat()) for day in days)})"


def way_mark(way: str | None) -> str:
    """What the names of models end in, in ops/metrics, where only the plans of ``way`` were known ahead."""
    return "" if way is None else f"[{way}]"


_JSON = ("inputs", "outputs", "contents", "counts", "depends")


def _row(record: Record) -> dict[str, Any]:
    row = dict(record.__dict__)
    return row | {name: json.dumps(row[name], sort_keys=True, default=str) for name in _JSON}


def _record(row: Mapping[str, Any]) -> Record:
    parsed = {name: json.loads(row[name]) if row[name] else {} for name in _JSON}
    own = {one.name for one in fields(Record)}  # a newer version may have written more
    return Record(**{name: value for name, value in {**row, **parsed}.items() if name in own})
