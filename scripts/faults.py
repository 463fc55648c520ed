"""Faults on the way of a weekly run: crash points at every write of the lake, and what a disturbed lake must equal.

The run is taken apart into its steps: the undisturbed one keeps a copy of the lake after each of them. A fault begins
with the copy before a step, strikes inside the step, and lets the same command run again until the step is done; the
lake must then hold what the copy after the step holds.

A crash in one process stands for a killed one: from that point on every write of the run fails, those of error handlers
and of locks to be given back as well, and its leases count as those of a process that is gone.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import lakes_compared
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from shelfcast.lake import ledger as ledger_room
from shelfcast.lake import locks as locks_room
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.locks import Lease, leases
from shelfcast.lake.store import Lake
from shelfcast.pipeline import Done, Pipeline
from shelfcast.report import run as report_run
from shelfcast.settings import Settings

BEFORE_FILES, BEFORE_COMMIT, AFTER_COMMIT = "before files", "files, no commit", "after the commit"
KINDS = ("crash", "error", "full disk", "clock")


class Crash(BaseException):
    """The process is gone: nothing may catch it and go on."""


class Enough(BaseException):
    """The step that was asked for is done."""


@dataclass(frozen=True, order=True)
class Point:
    """Where a run can be struck.

    Attributes:
        target: the table, or the report.
        phase: how far its write has come.
        nth: of how many such writes in the step; from 1.
    """

    target: str
    phase: str
    nth: int

    def __str__(self) -> str:
        return f"{self.target}: {self.phase} ({self.nth})"


@dataclass
class Strike:
    """What happens at a point.

    Attributes:
        point: where; None: nowhere.
        kind: one of KINDS: a crash; an exception as of a failed write; one as of a full disk. ``clock`` crashes too,
            and every clock reading before and after is a year off, forwards and backwards in turn.
    """

    point: Point | None = None
    kind: str = "crash"


class Injected:
    """Counts the points that a run passes, and strikes at one of them; used as a context around runs."""

    def __init__(self) -> None:
        self.strike = Strike()
        self.passed: list[Point] = []
        self.dead = False
        self.gone: set[str] = set()  # runs whose process has ended
        self.last = ""
        self.counts: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def around(self, strike: Strike) -> Iterator[None]:
        """Inside, the lake's writes pass points."""
        self.strike, self.passed, self.dead, self.counts = strike, [], False, Counter()
        with ExitStack() as patched:
            replace, commit, orphaned = Lake.replace, ledger_room.commit, Lease.orphaned

            def replaced(lake: Lake, table: str, frame: DataFrame, **given: Any) -> int:
                self.reach(table, BEFORE_FILES)
                halfway = self.count(table, BEFORE_COMMIT)
                if self.strike.point == halfway:
                    self._halfway(lambda torn: replace(lake, table, torn, **given), frame)
                self.passed.append(halfway)
                version = replace(lake, table, frame, **given)
                self.reach(table, AFTER_COMMIT)
                return version

            def committed(base: Any, *given: Any, **more: Any) -> bool:
                self.reach(base.table, BEFORE_FILES)
                won = commit(base, *given, **more)
                self.reach(base.table, AFTER_COMMIT)
                return won

            def written(*given: Any, **more: Any) -> Any:
                self.reach("report", BEFORE_FILES)
                result = write(*given, **more)
                self.reach("report", AFTER_COMMIT)
                return result

            write = report_run.write
            patches = [
                mock.patch.object(Lake, "replace", replaced),
                mock.patch.object(ledger_room, "commit", committed),
                mock.patch.object(locks_room, "commit", committed),
                mock.patch.object(report_run, "write", written),
                mock.patch.object(Lease, "orphaned", lambda lease: lease.run_id in self.gone or orphaned(lease)),
            ]
            if strike.kind == "clock":
                patches += [mock.patch.object(room, "datetime", _jumping()) for room in (ledger_room, locks_room)]
            for one in patches:
                patched.enter_context(one)
            yield

    def reach(self, target: str, phase: str) -> None:
        """Pass a point, or be struck there."""
        if self.dead:
            raise Crash
        point = self.count(target, phase)
        if point == self.strike.point:
            self._struck(point)
        self.passed.append(point)

    def count(self, target: str, phase: str) -> Point:
        self.counts[target, phase] += 1
        return Point(target, phase, self.counts[target, phase])

    def _struck(self, point: Point) -> None:
        if self.strike.kind == "error":
            raise OSError(f"planted: {point}")
        if self.strike.kind == "full disk":
            raise OSError(28, f"No space left on device, planted: {point}")
        self.dead = True
        raise Crash

    def _halfway(self, write: Callable[[DataFrame], int], frame: DataFrame) -> None:
        """Write a frame whose last partition fails, so that files of the others are there without a commit."""
        broken = F.raise_error(F.lit("planted: torn"))
        kinds = [(one.name, one.dataType) for one in frame.schema]
        row = [F.lit(None).cast(kind).alias(name) for name, kind in kinds]
        row[0] = broken.cast(kinds[0][1]).alias(kinds[0][0])
        torn = frame.sparkSession.range(1).select(*row)
        try:
            write(frame.unionByName(torn))
        except Exception:
            if self.strike.kind in {"error", "full disk"}:
                raise
        self.dead = True
        raise Crash


def _jumping() -> type[datetime]:
    class Jumping(datetime):
        readings = 0

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            Jumping.readings += 1
            return datetime.now(tz) + timedelta(days=365 if Jumping.readings % 2 else -365)

    return Jumping


@dataclass
class Steps:
    """Listens to a run; stops it after a step if asked to, and is told of each that ran."""

    until: str | None = None
    after: Callable[[str], None] = lambda _: None
    ran: list[str] = field(default_factory=list)

    def begin(self, step: str, slice_: str) -> Callable[[str], None]:  # noqa: ARG002  a Listener's
        return lambda _: None

    def end(self, done: Done) -> None:
        name = f"{done.record.step} {done.record.slice}"
        if not done.skipped:
            self.ran.append(name)
            self.after(name)
        if name == self.until:
            raise Enough


@dataclass
class Harness:
    """Weekly runs of one configuration, from copies of one lake.

    Attributes:
        spark: the one session of all runs.
        settings: whose lake already holds what comes before the run that is disturbed; nothing may have to be trained.
        copies: a folder for copies of the lake.
        command: what is run.
        steps: in order, once the undisturbed run is over.
        points: of each step.
    """

    spark: SparkSession
    settings: Settings
    copies: Path
    command: Callable[[Pipeline], object] = Pipeline.weekly
    steps: list[str] = field(default_factory=list)
    points: dict[str, list[Point]] = field(default_factory=dict)
    injected: Injected = field(default_factory=Injected)

    def undisturbed(self) -> None:
        """Run once, keep the lake after each step, and write down the points of each."""
        self._keep("start")

        def after(step: str) -> None:
            self.steps.append(step)
            self.points[step] = [*self.injected.passed]
            self.injected.passed.clear()
            self.injected.counts.clear()
            self._keep(step)

        pipeline = self.pipeline(Steps(after=after))
        with self.injected.around(Strike()):
            self.command(pipeline)
        self.injected.gone.add(pipeline.run_id)  # the copies hold its leases
        self._keep("end")
        # A run goes on after its last write of a step with the first of the next: publishing, leases given back.
        self.steps.append("end")
        self.points["end"] = [*self.injected.passed]

    def disturbed(self, step: str, strikes: list[Strike]) -> list[str]:
        """Strike a run inside a step, one time after the other, then let it end; what differs from the undisturbed."""
        before = ["start", *self.steps][self.steps.index(step)]
        self._restore(before)
        until = None if step == "end" else step
        for strike in strikes:
            self._run(strike, until)
        if not self._run(Strike(), until):
            return ["the last run, which nothing disturbed, did not end"]
        return list(self.differences(step))

    def _run(self, strike: Strike, until: str | None) -> bool:
        """Whether a run came to its end."""
        pipeline = self.pipeline(Steps(until=until))
        with self.injected.around(strike):
            try:
                self.command(pipeline)
            except Enough:
                return True
            except Crash:
                return False
            except Exception as error:
                if "planted" not in str(error):
                    raise
                return False
            finally:
                self.injected.gone.add(pipeline.run_id)  # a command that has failed ends as well
                self.injected.last = pipeline.run_id
        return True

    def pipeline(self, listener: Steps) -> Pipeline:
        """A run in the one session."""
        made = Pipeline(self.settings, listener)
        made.__dict__["lake"] = Lake(self.spark, self.settings.lake)
        return made

    def differences(self, step: str) -> Iterator[str]:
        """What the lake holds, or shows, that the undisturbed one did not after a step, and the other way round."""
        wanted, found = str(self.copy(step)), self.settings.lake
        for one in (*lakes_compared.exactly(wanted, found), *lakes_compared.scores(wanted, found)):
            if one.differs:
                yield f"{one.what}: {one.differs}"
        seen = [published(lake) for lake in (wanted, found)]
        if seen[0] != seen[1]:
            yield f"readers see {seen[1]} instead of {seen[0]}"
        if step == "end" and (left := [one for one in leases(found) if one.run_id == self.injected.last]):
            yield f"leases left: {left}"
        if any(one.status == "running" for one in Ledger(found).records() if one.run_id == self.injected.last):
            yield "a step of the last run has no end"

    def copy(self, step: str) -> Path:
        """Of the lake after a step."""
        return self.copies / step.replace(" ", "-").replace("*", "all")

    def _keep(self, name: str) -> None:
        shutil.copytree(self.settings.lake, self.copy(name))

    def _restore(self, name: str) -> None:
        shutil.rmtree(self.settings.lake)
        shutil.copytree(self.copy(name), self.settings.lake)
        self.spark.catalog.clearCache()


def published(lake: str) -> dict[str, list[str]]:
    """Day → tables that readers see for it."""
    return {str(day): sorted(tables) for day, tables in Ledger(lake).publications().items()}
