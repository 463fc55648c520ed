"""Fills the slices of many as-of dates: what is missing or stale, in the order in which they need each other.

Steps are done for all slices before the next step begins: features one after the other, because slices share tables;
trainings in order of time, because a slice may use the model of an earlier one and never that of a later one; scores
side by side in one Spark application. A slice that fails is left out from then on and told at the end. What is done is
skipped, so the same command goes on where a killed one stopped.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta

from shelfcast.errors import ConfigError, LakeBusy
from shelfcast.evaluate.baselines import check
from shelfcast.pipeline import Done, Pipeline
from shelfcast.stages import EVALUATE, FEATURES, INGEST, REPORT

STEPS = ("ingest", "features", "train", "score", "evaluate", "report")


@dataclass
class Slice:
    """What became of an as-of date: its steps, and the error at which it stopped."""

    as_of: date
    done: list[Done] = field(default_factory=list)
    error: str | None = None
    at: str | None = None

    def row(self) -> dict[str, object]:
        """For people and machines."""
        ran = [one for one in self.done if not one.skipped]
        return {
            "as_of": self.as_of.isoformat(),
            "status": "failed" if self.error else "done" if ran else "unchanged",
            "ran": len(ran),
            "unchanged": len(self.done) - len(ran),
            "seconds": round(sum(one.record.seconds or 0.0 for one in ran), 1),
            "failed at": self.at,
            "error": self.error,
        }


def days(first: date, last: date, week_start: int) -> list[date]:
    """The last days of all weeks that end from ``first`` to ``last``.

    Raises:
        ConfigError: if no week does.
    """
    begin = first + timedelta(days=(week_start - 1 - first.weekday()) % 7)
    found = [begin + timedelta(weeks=week) for week in range((last - begin).days // 7 + 1)]
    if not found:
        raise ConfigError(f"no week ends from {first} to {last}: pass --from and --to at least a week apart")
    return found


def backfill(pipeline: Pipeline, first: date, last: date, steps: Sequence[str] = STEPS) -> list[Slice]:
    """Fill the slices of all weeks that end from ``first`` to ``last``.

    Raises:
        ConfigError: for steps there are none of, dates between which no week ends, or weeks outside the logs.
        ShelfcastError: if ingest fails; what other steps fail of is in the slices.
    """
    if unknown := sorted({*steps} - {*STEPS}):
        raise ConfigError(f"--steps {', '.join(unknown)}: there are {', '.join(STEPS)}")
    check(pipeline.settings.evaluate.baselines)
    slices = [Slice(day) for day in days(first, last, pipeline.week_start())]
    if "ingest" in steps:
        pipeline.run(INGEST)
    for slice_ in slices:
        pipeline.require_logs(slice_.as_of)
    phases: dict[str, tuple[Callable[[date], list[Done]], int]] = {
        "features": (lambda day: [pipeline.run(FEATURES, day)], 1),
        "train": (pipeline.train, 1),
        "score": (pipeline.score, pipeline.settings.schedule.at_once),
        "evaluate": (lambda day: [pipeline.run(EVALUATE, day)], pipeline.settings.schedule.at_once),
        "report": (lambda day: [pipeline.run(REPORT, day)], 1),
    }
    for name, (phase, at_once) in phases.items():
        if name in steps:
            whole = [slice_ for slice_ in slices if slice_.error is None]
            _each(whole[-1:] if name == "report" else whole, name, phase, at_once)
    return slices


def _each(slices: Sequence[Slice], name: str, phase: Callable[[date], list[Done]], at_once: int) -> None:
    def one(slice_: Slice) -> None:
        try:
            slice_.done += phase(slice_.as_of)
        except LakeBusy:
            raise  # another run does the same: nothing here is wrong, and the rest would meet it as well
        except Exception as error:  # noqa: BLE001 - whatever it is, the other slices are not to suffer
            slice_.error = str(error).splitlines()[0] if str(error) else type(error).__name__
            slice_.at = name

    for slice_ in slices[:1] if at_once > 1 else slices:  # alone, the first one creates the tables
        one(slice_)
    if at_once > 1:
        with ThreadPoolExecutor(at_once, thread_name_prefix=name) as pool:
            for running in [pool.submit(one, slice_) for slice_ in slices[1:]]:
                running.result()
