"""The ingest step: raw files → bronze → silver and quarantine."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial, reduce
from typing import TypeVar

from pyspark.sql import DataFrame, Observation
from pyspark.sql import functions as F

from shelfcast.errors import ReconciliationError
from shelfcast.ingest import publish
from shelfcast.ingest.accounts import tally
from shelfcast.ingest.arrivals import TABLE as FILES
from shelfcast.ingest.arrivals import Arrival, arrivals
from shelfcast.ingest.bounds import fit, fitted_columns
from shelfcast.ingest.bronze import read_bronze, write_bronze
from shelfcast.ingest.clean import Unit, decide, judge, read_canonical, records, units
from shelfcast.ingest.erased import Erased, marks, named
from shelfcast.ingest.fates import QUARANTINE, SILVER, drop_known
from shelfcast.ingest.identity import load_key, policies
from shelfcast.ingest.look import Looked, look
from shelfcast.ingest.lookups import KEYS
from shelfcast.lake.step import Outcome, Step, content_id
from shelfcast.lake.tables import contract

_BOUNDS = "ops/bounds"
_AT_ONCE = 3  # inputs read side by side: a file of one row group keeps a single core busy
_WHILE_INGESTING = {
    # A file of one row group is read by one core; what is written from it need not be.
    "spark.sql.files.maxRecordsPerFile": "4000000",
    # Quartiles of a few thousand categories fit into memory; with more than these, Spark sorts all records instead.
    "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "10000",
    # No two events share an id: a dictionary of them is given up after a page, and their range tells nothing.
    "parquet.enable.dictionary#event_id": "false",
    "parquet.column.statistics.enabled#event_id": "false",
    # Spark refuses nanoseconds otherwise; the reader makes microseconds of them.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
}
_FIRST = tuple(f"silver/{name}" for name in KEYS)
T = TypeVar("T")


def run(step: Step) -> Outcome:
    """Ingest every source of the configuration; what is known and clean already is left as it is.

    Bronze is written first. Silver, quarantine and the list of files follow only when every record of every input
    is accounted for. What is counted and what is written are two runs over the same bronze slices: they are cheaper
    than keeping every record in between, and bronze does not change.

    Raises:
        SourceError: if files are missing, damaged, or do not hold what the source names.
        ReconciliationError: if records were lost or multiplied.
    """
    at = datetime.now(UTC)
    found = arrivals(step.settings, step.lake.uri, at)
    stored = step.contents(publish.REFUSED)
    todo = units(found, stored)
    if not todo:
        step.say("no new files, no new rules")
        return Outcome(counts={"inputs": []})
    for name, value in _WHILE_INGESTING.items():
        step.spark.conf.set(name, value)
    try:
        with step.part("bronze"):
            _write_bronze(step, found)
        return _Cleaning(step, at).publish(todo, found)
    finally:
        for name in _WHILE_INGESTING:
            step.spark.conf.unset(name)


def _write_bronze(step: Step, found: Sequence[Arrival]) -> None:
    new = [arrival for arrival in found if arrival.new and not arrival.derived]
    persons = {arrival.reading.bronze: policies(step.spark, arrival.reading) for arrival in new}
    hashed = any("hash" in policy.values() for policy in persons.values())
    gone = marks(step.lake.uri)
    key = load_key(step.settings, step.lake.uri, step.say) if hashed or gone else b""

    def write(arrival: Arrival) -> None:
        bronze = arrival.reading.bronze
        readings = [one.reading for one in found if one.reading.bronze == bronze]
        erased = partial(named, Erased(gone, key), readings, persons[bronze]) if gone else None
        write_bronze(step, arrival, persons[bronze], key, erased)
        size = sum(file.size for file in arrival.new) / 1e6
        step.say(f"{arrival.reading.bronze}: {len(arrival.new)} file(s), {size:,.1f} MB")

    _side_by_side(write, sorted(new, key=lambda arrival: -sum(file.size for file in arrival.new)))


def _side_by_side(work: Callable[[T], None], items: Sequence[T]) -> None:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for done in [pool.submit(work, item) for item in items]:
            done.result()


class _Cleaning:
    """The second half of an ingest, from bronze to silver.

    Args:
        step: the step.
        at: when this ingest began.
    """

    def __init__(self, step: Step, at: datetime) -> None:
        self.step = step
        self.at = at
        self.settled: dict[tuple[str, str], Looked] = {}
        self.bounds = step.read(_BOUNDS) if step.has(_BOUNDS) else None
        self.fitted = False

    def publish(self, todo: Sequence[Unit], found: Sequence[Arrival]) -> Outcome:
        """Clean every unit, check every account, then write."""
        try:
            for unit in _in_order(todo, lookups=True):
                self._clean(unit)
            _side_by_side(self._clean, _in_order(todo, lookups=False))
            return self._write(todo, found)
        finally:
            self.step.spark.catalog.clearCache()

    def _clean(self, unit: Unit) -> None:
        with self.step.part(f"clean {unit.table}"):
            self._settle(unit)

    def _settle(self, unit: Unit) -> None:
        step = self.step
        raw = records(unit, lambda arrival: read_bronze(step, arrival, _own(arrival, unit)))
        read = read_canonical(unit, raw, lambda name: self._lookup(name, unit.source))
        counted = {name: rows.count() for name, rows in raw.items()}
        self._fit_bounds(unit, read, counted)
        judged = judge(unit, read, self.bounds)
        if unit.table == publish.EVENTS and not unit.versions:
            looked = look(unit, judged, counted, publish.stored_events(step, unit, read.values()))
        else:
            looked = self._with_versions(unit, judged, counted)
        for account in looked.accounts:
            account.check()
        self.settled[unit.source, unit.table] = looked
        for account in looked.accounts:
            fates = ", ".join(f"{number:,} {fate}" for fate, number in account.fates.items())
            step.say(f"{unit.table} from {unit.source}/{account.reading.input}: {account.read:,} read, {fates}")

    def _with_versions(self, unit: Unit, judged: dict[str, DataFrame], read: dict[str, int]) -> Looked:
        frame = decide(unit, judged)
        known = publish.stored_events(self.step, unit, judged.values()) if unit.table == publish.EVENTS else None
        if known is not None:
            frame = drop_known(frame, known)
        if unit.table in _FIRST:
            frame = frame.persist()
        silver = publish.silver(frame, unit.table)
        weeks = publish.weeks_of([silver]) if unit.table == publish.EVENTS else []
        return Looked(tally(frame, unit.readings, read), silver, publish.refused(frame), weeks)

    def _lookup(self, name: str, source: str) -> DataFrame | None:
        """A lookup's rows as they will be after this ingest."""
        table = f"silver/{name}"
        if (source, table) in self.settled:
            return self.settled[source, table].silver
        return self.step.read(table) if self.step.has(table) else None

    def _fit_bounds(self, unit: Unit, read: dict[str, DataFrame], counted: dict[str, int]) -> None:
        """Fit the bounds that this source does not have yet."""
        how = self.step.settings.cleaning.fitted_bounds
        if how is None or unit.table != publish.EVENTS:
            return
        have: set[str] = set()
        if self.bounds is not None:
            mine = self.bounds.where(F.col("source") == unit.source).select("column").distinct()
            have = {row["column"] for row in mine.collect()}  # at most a name per canonical column
        for reading in unit.readings:
            columns = [name for name in fitted_columns(reading) if name not in have]
            if columns:
                fitted = fit(read[reading.input], unit.source, columns, how, self.at, counted[reading.input])
                self.bounds = fitted if self.bounds is None else self.bounds.unionByName(fitted)
                self.fitted = True
                have |= set(columns)

    def _write(self, todo: Sequence[Unit], found: Sequence[Arrival]) -> Outcome:
        step, contents = self.step, dict[str, dict[str, str]]()
        for table in sorted({unit.table for unit in todo} - {publish.EVENTS}):
            mine = [unit for unit in todo if unit.table == table]
            step.replace(table, publish.side(step, table, mine, [self._of(unit).silver for unit in mine]))
            contents[table] = {"*": content_id(table, _wanted(a for a in found if a.reading.table == table))}
        events = [unit for unit in todo if unit.table == publish.EVENTS]
        if events:
            by_id = not any(a.reading.given.identity for a in found if a.reading.table == publish.EVENTS)
            contents[publish.EVENTS] = self._write_events(events, by_id=by_id)
        contents[publish.REFUSED] = self._write_refused(todo)
        if self.fitted and self.bounds is not None:
            step.replace(_BOUNDS, self.bounds)
        contents |= self._write_files(found)
        accounts = [account for looked in self.settled.values() for account in looked.accounts]
        return Outcome(
            rows_in=sum(account.read for account in accounts),
            rows_out=sum(account.fates[SILVER] for account in accounts),
            counts={"inputs": [account.counts() for account in accounts]},
            contents=contents,
        )

    def _of(self, unit: Unit) -> Looked:
        return self.settled[unit.source, unit.table]

    def _write_events(self, todo: Sequence[Unit], *, by_id: bool) -> dict[str, str]:
        """Replace the touched weeks; returns their content ids.

        Args:
            by_id: whether equal event ids mean equal events, whatever their source.
        """
        step = self.step
        written = Observation()
        new = reduce(DataFrame.unionByName, [self._of(unit).silver for unit in todo])
        weeks = publish.touched((week for unit in todo for week in self._of(unit).weeks), step, todo)
        result = new = new.observe(written, F.count("*").alias("records"))
        if step.has(publish.EVENTS):
            stays = step.read(publish.EVENTS).where(F.col("week_start").isin(*weeks) & ~publish.leaving(todo))
            result = new.unionByName(stays.select(*new.columns))
        clustered = not step.has(publish.EVENTS) and all(self._of(unit).clustered for unit in todo)
        # A log that arrives by weeks is in place already; of any other, every task would write a file a week.
        spread = result if clustered else result.hint("rebalance", "week_start")
        step.replace(publish.EVENTS, spread, slices=weeks)
        counted = sum(account.fates[SILVER] for unit in todo for account in self._of(unit).accounts)
        if written.get["records"] != counted:
            raise ReconciliationError(
                f"{publish.EVENTS}: {counted:,} records were to be written, but {written.get['records']:,} were; "
                "did the bronze tables change meanwhile? Run ingest again"
            )
        step.say(f"{publish.EVENTS}: {len(weeks)} week(s) written")
        with step.part(f"content of {publish.EVENTS}"):
            changed = step.read(publish.EVENTS).where(F.col("week_start").isin(*weeks))
            return dict.fromkeys(map(str, weeks), "") | publish.week_contents(changed, by_id=by_id)

    def _write_refused(self, todo: Sequence[Unit]) -> dict[str, str]:
        step = self.step
        wanted = _wanted(arrival for unit in todo for arrival in unit.arrivals)
        gone = {known.ingest_id for unit in todo for a in unit.arrivals for known in a.known} - set(wanted)
        slices = sorted({name for unit in todo for name in unit.ids} | gone)
        some = [unit for unit in todo if any(a.fates[QUARANTINE] for a in self._of(unit).accounts)]
        refused = reduce(DataFrame.unionByName, [self._of(unit).refused for unit in some or todo[:1]])
        step.replace(publish.REFUSED, refused, slices=slices)
        return {name: content for name, content in wanted.items() if name in slices} | dict.fromkeys(gone, "")

    def _write_files(self, found: Sequence[Arrival]) -> dict[str, dict[str, str]]:
        """Write down which files have been read: the last thing an ingest does."""
        step = self.step
        own = [arrival for arrival in found if not arrival.derived]
        names = [column.name for column in contract(FILES).columns]
        rows = [tuple(row[name] for name in names) for arrival in own for row in arrival.rows()]
        frame = step.spark.createDataFrame(rows, contract(FILES).schema())
        if step.has(FILES):
            mine = F.concat_ws("/", "source", "input").isin(*(f"{a.reading.source}/{a.reading.input}" for a in own))
            frame = frame.unionByName(step.read(FILES).where(~mine))
        step.replace(FILES, frame)
        return {a.reading.bronze: {a.ingest_id: a.ingest_id} for a in own if a.ingest_id is not None}


def _own(arrival: Arrival, unit: Unit) -> tuple[str, ...]:
    return tuple(name for name in unit.ids if name in arrival.wanted())


def _wanted(found: Iterable[Arrival]) -> dict[str, str]:
    return {name: content for arrival in found for name, content in arrival.wanted().items()}


def _in_order(todo: Sequence[Unit], *, lookups: bool) -> list[Unit]:
    """Units that others look up, or the rest with the largest first."""
    chosen = [unit for unit in todo if (unit.table in _FIRST) == lookups]
    return sorted(chosen, key=lambda unit: -sum(file.size for arrival in unit.arrivals for file in arrival.files))
