"""The plan of a weekly run says what would run and why, and writes nothing."""

from datetime import date
from pathlib import Path

import pytest

from shelfcast.config import load
from shelfcast.errors import SourceError
from shelfcast.lake.ledger import ERASE
from shelfcast.lake.step import Outcome, content_id
from shelfcast.pipeline import Pipeline
from shelfcast.planning import plan
from shelfcast.stages import EVALUATE, FEATURES, INGEST, REPORT, SCORES, TRAINS

AS_OF = date(2017, 11, 26)  # of Complete Journey's source
CHAIN = (FEATURES, *TRAINS.values(), *SCORES, EVALUATE, REPORT)


class Silent:
    def begin(self, step, slice_):
        raise AssertionError(f"{step} {slice_} was started")

    def end(self, done):
        raise AssertionError(f"{done.record.step} was ended")


@pytest.fixture
def lake(tmp_path):
    return str(tmp_path / "lake")


def pipeline(lake, *sets, force=False) -> Pipeline:
    return Pipeline(load(sets=sets, lake=lake).settings, Silent(), force)


def run_all(lake):
    """Writes down what a weekly run would have, without running it."""
    events = {"2017-11-20": "v1"}
    for stage in (INGEST, *CHAIN):
        made = pipeline(lake)
        as_of = None if stage is INGEST else AS_OF
        depends = made.depends(stage, as_of)
        fingerprint = content_id(stage.name, depends)
        slice_ = str(as_of) if as_of else "*"
        record = made.ledger.start("r1", stage.name, slice_, fingerprint, depends)
        contents = {table: events if stage is INGEST else {slice_: "v1"} for table in stage.writes}
        made.ledger.finish(record, None, Outcome(counts={"folder": f"{stage.name}/v1"}, contents=contents))


def planned(made: Pipeline) -> dict[str, tuple[str, str]]:
    return {one.step: (one.plan, one.because) for one in plan(made)}


def test_in_a_new_lake_every_step_is_to_be_run_and_nothing_is_written(lake):
    found = plan(pipeline(lake))
    assert [(one.step, one.slice) for one in found] == [
        ("ingest", "*"), *((stage.name, str(AS_OF)) for stage in CHAIN),
    ]  # fmt: skip
    assert {(one.plan, one.because) for one in found} == {("run", "never done")}
    assert not Path(lake).exists()


def test_where_the_logs_have_to_say_what_as_of_is_the_plan_says_so(lake):
    found = plan(pipeline(lake, "sources.completejourney.as_of=null"))
    assert {one.slice for one in found} == {"*", "after ingest"}
    assert {one.plan for one in found} == {"run"}


def test_what_did_not_change_is_skipped_unless_it_is_forced(lake, monkeypatch):
    run_all(lake)
    monkeypatch.setattr(Pipeline, "as_of", lambda _: AS_OF)  # silver itself is not there
    assert {one.plan for one in plan(pipeline(lake))} == {"skip"}
    assert {(one.plan, one.because) for one in plan(pipeline(lake, force=True))} == {("run", "forced")}


def test_a_changed_section_runs_the_steps_that_read_it_and_perhaps_those_after_them(lake, monkeypatch):
    run_all(lake)
    monkeypatch.setattr(Pipeline, "as_of", lambda _: AS_OF)
    found = planned(pipeline(lake, "forecaster.units=48"))
    assert found["ingest"][0] == found["features"][0] == found["train recommender"][0] == "skip"
    assert found["train forecaster"] == ("run", "changed: configuration forecaster")
    assert found["score forecasts"] == ("maybe", "what it reads may change by: train forecaster")
    assert found["score totals"] == ("maybe", "what it reads may change by: score forecasts")
    assert found["score recommendations"][0] == "skip"
    assert found["report"] == ("maybe", "what it reads may change by: evaluate, score forecasts, score totals")


def test_a_changed_week_is_named_by_its_table(lake, monkeypatch):
    run_all(lake)
    monkeypatch.setattr(Pipeline, "as_of", lambda _: AS_OF)
    ledger = pipeline(lake).ledger
    late = Outcome(contents={"silver/events": {"2017-11-20": "v2"}})
    ledger.finish(ledger.start("r2", "ingest", "*", pipeline(lake).fingerprint(INGEST, None)), None, late)
    found = planned(pipeline(lake))
    assert found["ingest"] == ("skip", "unchanged")
    assert found["features"] == ("run", "changed: silver/events")
    assert found["train forecaster"] == ("maybe", "what it reads may change by: features")


def test_after_an_erasure_what_remembers_single_users_is_made_anew(lake, monkeypatch):
    run_all(lake)
    monkeypatch.setattr(Pipeline, "as_of", lambda _: AS_OF)
    ledger = pipeline(lake).ledger
    ledger.finish(ledger.start("e1", ERASE, "*", ""), None, Outcome())
    found = planned(pipeline(lake, "schedule.train_every_weeks=null"))
    assert found["train recommender"] == found["report"] == ("run", "changed: erased persons")
    assert {found[step][0] for step in ("ingest", "features", "train forecaster", "score forecasts")} == {"skip"}


def test_a_source_whose_files_are_missing_is_refused_by_the_plan_too(lake, tmp_path):
    with pytest.raises(SourceError, match=r"transactions\.parquet"):
        plan(pipeline(lake, f"sources.completejourney.root={tmp_path}", "sources.completejourney.package=null"))
