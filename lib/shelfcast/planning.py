"""What a weekly run would do, without Spark and without writing anything: which steps, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

from shelfcast.errors import TableMissing
from shelfcast.pipeline import Pipeline, because
from shelfcast.stages import EVALUATE, FEATURES, INGEST, REPORT, SCORES, TRAINS, Stage

_AFTER_INGEST = "after ingest"


@dataclass(frozen=True)
class Planned:
    """Attributes:
    step, slice: as in ops/runs; the slice is "after ingest" where the logs have to say which it is.
    plan: ``run``; ``skip``; ``maybe``, where an earlier step that runs decides what this one reads.
    because: why.
    """

    step: str
    slice: str
    plan: Literal["run", "skip", "maybe"]
    because: str


def plan(pipeline: Pipeline) -> list[Planned]:
    """The steps of ``Pipeline.weekly`` in their order.

    Raises:
        SourceError: if the raw files of a source are not there.
        ConfigError: if as_of lies outside the logs and no new ones are to be read.
    """
    found: list[Planned] = []
    made: dict[str, str] = {}  # what later steps read → the step that runs and makes it
    for stage, as_of in _chain(pipeline):
        slice_ = "*" if stage is INGEST else as_of.isoformat() if as_of else _AFTER_INGEST
        one = _planned(pipeline, stage, as_of, slice_, made)
        found.append(one)
        if one.plan != "skip":
            made |= dict.fromkeys(_makes(stage), stage.name)
        if stage is INGEST and one.plan == "skip":
            pipeline.as_of()  # refuses what the run would refuse
    return found


def _chain(pipeline: Pipeline) -> Iterator[tuple[Stage, date | None]]:
    yield INGEST, None
    try:
        as_of = pipeline.as_of() if pipeline.asked_for() is None else pipeline.asked_for()
    except TableMissing:
        as_of = None
    for stage in (FEATURES, *TRAINS.values(), *SCORES):
        yield stage, as_of
    days = {day for day in pipeline.ledger.published_days() if as_of is None or day <= as_of}
    for day in sorted({*days, as_of} if as_of else days):
        yield EVALUATE, day
    if as_of is None:
        yield EVALUATE, None
    yield REPORT, as_of


def _planned(pipeline: Pipeline, stage: Stage, as_of: date | None, slice_: str, made: dict[str, str]) -> Planned:
    if as_of is None and stage is not INGEST:
        return Planned(stage.name, slice_, "run", "never done")
    depends = pipeline.depends(stage, as_of)
    before = pipeline.ledger.newest(stage.name, slice_)
    if pipeline.force:
        return Planned(stage.name, slice_, "run", "forced")
    if before is None or before.fingerprint != pipeline.fingerprint(stage, as_of):
        return Planned(stage.name, slice_, "run", because(before, depends))
    wanted = {*stage.reads, f"model {stage.model}"}
    if upstream := sorted({step for name, step in made.items() if name in wanted}):
        return Planned(stage.name, slice_, "maybe", f"what it reads may change by: {', '.join(upstream)}")
    return Planned(stage.name, slice_, "skip", "unchanged")


def _makes(stage: Stage) -> list[str]:
    trained = [kind for kind, one in TRAINS.items() if one is stage]
    return [*stage.writes, *(f"model {kind}" for kind in trained)]
