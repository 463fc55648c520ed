"""A backfill fills what is missing, goes on past what fails, resumes, and shows no slice its future."""

import json
import time
from datetime import date

import pytest
from stand_ins import Quiet, events_lake, installed, stage, unscored

from shelfcast import backfilling, cli
from shelfcast import pipeline as pipeline_module
from shelfcast.backfilling import backfill, days
from shelfcast.config import load
from shelfcast.errors import ConfigError, LakeBusy, ShelfcastError
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.step import Outcome
from shelfcast.pipeline import Pipeline

SUNDAYS = [date(2017, 1, 8), date(2017, 1, 15), date(2017, 1, 22)]
log: list[tuple[str, str]] = []  # step and slice, in the order in which they began
broken: set[tuple[str, str]] = set()


def notes(name):
    def run(step):
        key = (name, str(step.as_of))
        log.append((*key, step.models.get("forecaster", "-")) if name == "score" else key)
        if key in broken:
            raise ShelfcastError(f"the disk is full in {name}")
        counts = {"folder": f"forecaster/{step.as_of}"} if name == "train" else {}
        return Outcome(counts=counts, contents={f"gold/{name}": {str(step.as_of): "v"}})

    return run


@pytest.fixture
def lake(tmp_path, monkeypatch):
    log.clear()
    broken.clear()
    names = ("ingest", "features", "train", "score", "evaluate", "report")
    installed(monkeypatch, **{name: notes(name) for name in names})
    made = {name: stage(notes(name), name=name, runs=f"stand_in:{name}") for name in names}
    made["ingest"] = stage(name="ingest", runs="stand_in:ingest", reads=(), shared=True)
    made["features"] = stage(name="features", runs="stand_in:features", shared=True)
    made["score"] = stage(name="score", runs="stand_in:score", model="forecaster")
    for module in (pipeline_module, backfilling):
        for name in ("INGEST", "FEATURES", "EVALUATE", "REPORT"):
            monkeypatch.setattr(module, name, made[name.lower()])
    monkeypatch.setattr(pipeline_module, "TRAINS", {"forecaster": made["train"]})
    monkeypatch.setattr(pipeline_module, "SCORES", (made["score"],))
    uri = events_lake(tmp_path)
    unscored(uri)
    return uri


def filled(lake, *sets, first=SUNDAYS[0], last=SUNDAYS[-1], force=False, **more):
    settings = load(sets=["schedule.at_once=1", *sets], lake=lake).settings
    log.clear()
    return backfill(Pipeline(settings, Quiet(), force), first, last, **more)


def test_weeks_that_end_in_the_span_are_its_slices():
    assert days(date(2017, 1, 2), date(2017, 1, 22), 0) == SUNDAYS
    assert days(date(2017, 1, 8), date(2017, 1, 8), 0) == SUNDAYS[:1]
    assert days(date(2017, 1, 2), date(2017, 1, 22), 6) == [date(2017, 1, 7), date(2017, 1, 14), date(2017, 1, 21)]
    with pytest.raises(ConfigError, match="no week ends from 2017-01-09 to 2017-01-14"):
        days(date(2017, 1, 9), date(2017, 1, 14), 0)


def test_each_step_is_done_for_all_slices_in_order_of_time_and_all_are_published(lake):
    found = filled(lake)
    texts = [str(day) for day in SUNDAYS]
    assert log == [
        ("ingest", "None"), *(("features", day) for day in texts), *(("train", day) for day in texts),
        *(("score", day, f"forecaster/{day}") for day in texts), *(("evaluate", day) for day in texts),
        ("report", texts[-1]),
    ]  # fmt: skip
    assert [one.row()["status"] for one in found] == ["done"] * 3
    assert Ledger(lake).published_days() == SUNDAYS
    assert {one.row()["status"] for one in filled(lake)} == {"unchanged"}
    assert log == []
    filled(lake, force=True, steps=["features"])
    assert log == [("features", day) for day in texts]


def test_a_failed_slice_is_told_and_left_out_and_done_by_the_next_call(lake):
    broken.add(("train", str(SUNDAYS[1])))
    first, second, third = filled(lake)
    assert (first.error, third.error) == (None, None)
    assert second.row() | {"seconds": 0} == {
        "as_of": "2017-01-15", "status": "failed", "ran": 1, "unchanged": 0, "seconds": 0,
        "failed at": "train", "error": "the disk is full in train",
    }  # fmt: skip
    assert Ledger(lake).published_days() == [SUNDAYS[0], SUNDAYS[2]]
    broken.clear()
    assert [one.row()["status"] for one in filled(lake)] == ["unchanged", "done", "unchanged"]
    assert [step[:2] for step in log] == [(name, "2017-01-15") for name in ("train", "score", "evaluate")]
    assert Ledger(lake).published_days() == SUNDAYS


@pytest.mark.parametrize(("every", "trained"), [("2", [0, 2]), ("null", [0]), ("1", [0, 1, 2])])
def test_models_are_trained_as_often_as_asked_and_used_until_the_next(lake, every, trained):
    filled(lake, f"schedule.train_every_weeks={every}")
    assert [step for step in log if step[0] == "train"] == [("train", str(SUNDAYS[number])) for number in trained]
    used = [step[2] for step in log if step[0] == "score"]
    newest = [max(number for number in trained if number <= index) for index in range(3)]
    assert used == [f"forecaster/{SUNDAYS[number]}" for number in newest]


def test_no_slice_uses_a_model_that_saw_its_future_or_one_of_another_configuration(lake):
    filled(lake, "schedule.train_every_weeks=null", first=SUNDAYS[1], last=SUNDAYS[1])
    filled(lake, "schedule.train_every_weeks=null", first=SUNDAYS[0], last=SUNDAYS[0])
    assert ("train", str(SUNDAYS[0])) in log
    filled(lake, "schedule.train_every_weeks=null", "windows.context=40", first=SUNDAYS[2], last=SUNDAYS[2])
    assert ("train", str(SUNDAYS[2])) in log


def test_slices_are_scored_side_by_side_within_the_limit(lake, monkeypatch):
    spans = []

    def scored(pipeline, day):
        began = time.monotonic()
        time.sleep(0.2)
        spans.append((began, time.monotonic()))
        return []

    monkeypatch.setattr(Pipeline, "score", scored)
    filled(lake, "schedule.at_once=2", steps=["score"])
    overlaps = sum(one[0] < other[1] and other[0] < one[1] for one in spans for other in spans if one is not other)
    assert len(spans) == 3
    assert overlaps == 2  # the second with the third; the first creates the tables


def test_another_run_with_the_same_slice_stops_all_and_wrong_asks_do_nothing(lake):
    other = Pipeline(load(lake=lake).settings, Quiet())
    with other.locks.held(str(SUNDAYS[1])), pytest.raises(LakeBusy, match=r"slice 2017-01-15 .* is held by"):
        filled(lake, "locks.wait_minutes=0")
    log.clear()
    with pytest.raises(ConfigError, match="--steps scores: there are ingest, features"):
        filled(lake, steps=["scores"])
    assert log == []
    with pytest.raises(ConfigError, match=r"as_of is 2017-02-05, but the logs .* span 2017-01-02 to 2017-01-25"):
        filled(lake, last=date(2017, 2, 5))


def test_the_command_lists_every_slice_and_fails_if_one_did(lake, capsys):
    command = ["backfill", "--from", "2017-01-02", "--to", "2017-01-15", "--lake", lake, "--json"]
    assert cli.main([*command, "--steps", "ingest,features"]) == 0
    listed = json.loads(capsys.readouterr().out)["slices"]
    assert [(one["as_of"], one["status"]) for one in listed] == [("2017-01-08", "done"), ("2017-01-15", "done")]
    broken.add(("score", "2017-01-08"))
    assert cli.main(command) == 1
    told = capsys.readouterr()
    assert [one["status"] for one in json.loads(told.out)["slices"]] == ["failed", "done"]
    assert "1 of 2 slices failed; run the same command again" in told.err
