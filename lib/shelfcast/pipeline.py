"""The order of the steps: what a weekly run does, what it may skip, and when readers see the result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property, reduce
from operator import getitem
from statistics import median
from typing import Protocol

import pyarrow.compute as pc

from shelfcast.errors import ConfigError, TableMissing
from shelfcast.evaluate.baselines import check
from shelfcast.ingest.files import fingerprint_inputs
from shelfcast.lake import session
from shelfcast.lake.costs import Costs
from shelfcast.lake.ledger import ERASE, Ledger, Record, new_run_id
from shelfcast.lake.locks import EVERYTHING, Locks
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Step, content_id
from shelfcast.lake.store import Lake
from shelfcast.settings import Settings
from shelfcast.stages import EVALUATE, FEATURES, INGEST, REPORT, RIVALS, SCORES, TRAINS, Stage

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_FEWEST_RUNS, _NEWEST_RUNS = 2, 8  # of a step, from which its usual cost is known
_ERASED = "erased persons"
_RUNAWAY, _NOTABLE_SECONDS = 2.0, 60.0
_PUBLISHED = ("gold/forecasts", "gold/totals", "gold/recommendations")


class Listener(Protocol):
    """Who is told how a run goes on."""

    def begin(self, step: str, slice_: str) -> Callable[[str], None]:
        """A step starts; returns what shows a line of its progress."""

    def end(self, done: "Done") -> None:
        """A step ended or was skipped."""


@dataclass(frozen=True)
class Done:
    """What became of a step: its row of ops/runs, and whether it had to run."""

    record: Record
    skipped: bool


@dataclass
class Pipeline:
    """Runs steps on one lake.

    Attributes:
        settings: the whole configuration.
        listener: told of progress.
        force: run even what is unchanged.
    """

    settings: Settings
    listener: Listener
    force: bool = False
    run_id: str = field(default_factory=new_run_id)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.settings.lake)

    @cached_property
    def lake(self) -> Lake:
        """The tables; the Spark session starts when a step first needs it."""
        return Lake(lambda: session.build(self.settings), self.settings.lake)

    @cached_property
    def locks(self) -> Locks:
        return Locks(self.settings.lake, self.run_id, self.settings.locks)

    def weekly(self) -> tuple[date, list[Done]]:
        """Everything, from raw logs to the report, for one as_of; unchanged steps are skipped.

        Raises:
            LakeBusy: if another run does the same for longer than locks.wait_minutes.
        """
        check(self.settings.evaluate.baselines)
        done = [self.run(INGEST)]
        as_of = self.as_of()
        with self.locks.kept(as_of.isoformat()):
            done += [self.run(FEATURES, as_of), *self.train(as_of), *self.score(as_of)]
            done += [self.run(EVALUATE, day) for day in self.ledger.published_days() if day <= as_of]
            done.append(self.run(REPORT, as_of))
        return as_of, done

    def train(self, as_of: date) -> list[Done]:
        """Train the models that are due; of one that is not, the entry of the training that made it."""
        done = []
        for stage in TRAINS.values():
            newest = self.trained(stage, as_of)
            if newest is None or self.due(stage, newest, as_of):
                done.append(self.run(stage, as_of))
            else:
                done.append(Done(newest, skipped=True))
                self.listener.end(done[-1])
        return done

    def trained(self, stage: Stage, as_of: date) -> Record | None:
        """The newest training of a kind that knew nothing after ``as_of``."""
        found = [
            record
            for record in self.ledger.records()
            if record.step == stage.name and record.status == "done" and record.slice <= as_of.isoformat()
        ]
        return max(found, key=lambda record: (record.slice, record.attempt), default=None)

    def due(self, stage: Stage, newest: Record, as_of: date) -> bool:
        """Whether the newest training is too old by schedule.train_every_weeks, of other code or configuration, or
        knows somebody who was erased since.
        """
        every = self.settings.schedule.train_every_weeks
        age = as_of - date.fromisoformat(newest.slice)
        if not age or (every is not None and age >= timedelta(weeks=every)):
            return True
        now = self.depends(stage, as_of)
        decides = ("code", "configuration", _ERASED)
        return any(newest.depends.get(name) != now[name] for name in now if name.startswith(decides))

    def score(self, as_of: date) -> list[Done]:
        """Score every series and every user, then let readers see both by one commit."""
        slice_ = as_of.isoformat()

        def say(line: str) -> None:
            self.listener.begin("publish", slice_)(line)

        with self.locks.kept(slice_):
            done = [self.run(stage, as_of) for stage in SCORES]
            seen = self.ledger.published(as_of)
            if any(not one.skipped for one in done) or any(table not in seen for table in _PUBLISHED):
                with self.locks.held(slice_, say):
                    versions = {table: Snapshot(self.settings.lake, table).version for table in _PUBLISHED}
                    self.locks.require()
                    self.ledger.publish(as_of, versions, self.run_id)
        return done

    def run(self, stage: Stage, as_of: date | None = None) -> Done:
        """Run a step, or skip it when its code, configuration and inputs are what they were.

        Raises:
            LakeBusy: if another run writes the same for longer than locks.wait_minutes.
        """
        slice_ = as_of.isoformat() if as_of else "*"
        if (done := self._unchanged(stage, as_of, slice_)) is not None:
            return done
        say = self.listener.begin(stage.name, slice_)
        stage.check(self.lake, self.settings)
        with self.locks.held(EVERYTHING if stage.shared else slice_, say):
            return self._unchanged(stage, as_of, slice_) or self._attempt(stage, as_of, slice_, say)

    def _unchanged(self, stage: Stage, as_of: date | None, slice_: str) -> Done | None:
        before = None if self.force else self.ledger.done(stage.name, slice_, self.fingerprint(stage, as_of))
        if before is None:
            return None
        done = Done(before, skipped=True)
        self.listener.end(done)
        return done

    def _attempt(self, stage: Stage, as_of: date | None, slice_: str, say: Callable[[str], None]) -> Done:
        depends = self.depends(stage, as_of)
        fingerprint = content_id(stage.name, depends)
        before = self.ledger.newest(stage.name, slice_)
        if before is not None:
            say(because(before, depends))
        stored = self.ledger.contents()
        record = self.ledger.start(self.run_id, stage.name, slice_, fingerprint, depends)
        step = Step(
            lake=self.lake,
            settings=self.settings,
            as_of=as_of,
            run_id=self.run_id,
            attempt=record.attempt,
            fingerprint=fingerprint,
            code=dict(zip(stage.rooms, stage.code(), strict=True)),
            models=self._models(as_of) if as_of else {},
            say=say,
            stored=stored,
            costs=Costs(stage.name if as_of is None else f"{stage.name} {slice_}"),
        )
        try:
            outcome = stage.function()(step)
        except BaseException as error:
            self.ledger.fail(record, str(error) or type(error).__name__, step.outputs)
            raise
        if parts := step.costs.counts():
            outcome.counts["parts"] = parts
        done = Done(self.ledger.finish(record, step, outcome), skipped=False)
        if (slow := runaway(done.record, self.ledger.records())) is not None:
            say(slow)
        self.listener.end(done)
        return done

    def as_of(self) -> date:
        """The configured as_of, else the only source's own, else the end of the last complete week in the logs.

        Raises:
            ConfigError: if the logs hold nothing up to it, or end more than a week before it.
        """
        chosen = self.asked_for()
        if chosen is None:
            last = self.span()[1]
            chosen = last - timedelta(days=(last.weekday() - self.week_start() + 1) % 7)
        self.require_logs(chosen)
        return chosen

    def require_logs(self, as_of: date) -> None:
        """Check that the logs hold something up to a day, and end at most a week before it.

        Raises:
            ConfigError: naming what they span.
        """
        first, last = self.span()
        if not first <= as_of <= last + timedelta(weeks=1):
            raise ConfigError(
                f"as_of is {as_of}, but the logs in {self.settings.lake} span {first} to {last}: "
                f"pass --as-of with {'a later' if as_of < first else 'an earlier'} date, or bring the missing logs"
            )

    def week_start(self) -> int:
        """The weekday that weeks begin on; Monday is 0."""
        return _DAYS.index(self.settings.calendar.week_start)

    def asked_for(self) -> date | None:
        """The configured as_of, else the only source's own."""
        own = [source.as_of for source in self.settings.sources.values() if source.as_of is not None]
        return self.settings.as_of or (own[0] if len(self.settings.sources) == len(own) == 1 else None)

    def span(self) -> tuple[date, date]:
        """First and last store-local date in silver/events."""
        snapshot = Snapshot(self.settings.lake, "silver/events")
        slices = snapshot.slices()
        if not slices:
            raise TableMissing("silver/events is empty: ingest refused every record; see silver/quarantine")
        ends = [
            snapshot.arrow(["event_date"], pc.field("week_start") == date.fromisoformat(week))["event_date"]
            for week in (slices[0], slices[-1])
        ]
        return pc.min(ends[0]).as_py(), pc.max(ends[1]).as_py()

    def _models(self, as_of: date) -> dict[str, str]:
        """The folder of each kind of model to use at ``as_of``; of rivals only those that are up to date."""
        found: dict[str, str] = {}
        for kind, stage in TRAINS.items():
            newest = self.trained(stage, as_of)
            if newest is not None:
                found[kind] = str(newest.counts["folder"])
        for kind, stage in RIVALS.items():
            trained = self.ledger.done(stage.name, as_of.isoformat(), self.fingerprint(stage, as_of))
            if trained is not None:
                found[kind] = str(trained.counts["folder"])
        return found

    def fingerprint(self, stage: Stage, as_of: date | None, made: Sequence[str] = ()) -> str:
        """Hash of a step's code, configuration and inputs; ``made`` as for ``depends``."""
        return content_id(stage.name, self.depends(stage, as_of, made))

    def depends(self, stage: Stage, as_of: date | None, made: Sequence[str] = ()) -> dict[str, str]:
        """What decides a step's result → its hash: code, sections of the configuration, tables, models, raw files.

        Args:
            made: tables, and with any also models, that do not count: earlier steps of one chain make them.
        """
        config = self.settings.model_dump(mode="json")
        found = {"code": content_id(stage.code())}
        for section in stage.sections:
            found[f"configuration {section}"] = content_id(reduce(getitem, section.split("."), config))
        if stage is INGEST:
            found["raw files"] = content_id(fingerprint_inputs(self.settings))
        contents = self.ledger.contents()
        until = as_of
        if as_of is not None and stage.ahead:
            until = as_of + timedelta(weeks=self.settings.windows.horizon)
        for table in stage.reads:
            if table not in made:
                found[table] = content_id(_known(contents.get(table, {}), until))
        if stage.model is not None and as_of is not None and not made:
            found[f"model {stage.model}"] = content_id(self._models(as_of).get(stage.model))
        if stage.remembers and (last := self.ledger.newest(ERASE, "*")) is not None:
            found[_ERASED] = last.run_id
        return found


def because(before: Record | None, depends: Mapping[str, str]) -> str:
    """Why a step does not count as done: what its newest success (None if there was none) depended on has changed."""
    if before is None:
        return "never done"
    if not before.depends:
        return "done by an older version of shelfcast"
    changed = [name for name in {**before.depends, **depends} if before.depends.get(name) != depends.get(name)]
    return f"changed: {', '.join(changed)}" if changed else "asked for"


def runaway(record: Record, records: Sequence[Record]) -> str | None:
    """What to say of an attempt that took far longer than earlier ones of its step did for as many rows."""
    before = [
        one.seconds / one.rows_in
        for one in records
        if one.step == record.step
        and one.status == "done"
        and one.attempt < record.attempt
        and one.seconds
        and one.rows_in
    ]
    if len(before) < _FEWEST_RUNS or not record.seconds or not record.rows_in:
        return None
    expected = median(before[-_NEWEST_RUNS:]) * record.rows_in
    if record.seconds < _RUNAWAY * expected or record.seconds - expected < _NOTABLE_SECONDS:
        return None
    return (
        f"took {record.seconds:,.0f} s, {record.seconds / expected:.1f} × what its last runs took for as many rows "
        f"({expected:,.0f} s); counts.parts in ops/runs says where"
    )


def _known(slices: Mapping[str, str], until: date | None) -> dict[str, str]:
    """Content ids of slices that begin by ``until``; a table without slices counts whole."""
    return {name: value for name, value in slices.items() if until is None or name <= until.isoformat() or name == "*"}
