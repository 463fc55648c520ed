"""The pipeline runs what changed, skips what did not, and publishes only what succeeded."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, date, datetime

import pytest
from stand_ins import Quiet, calls, events_lake, fails, installed, stage, unscored

from shelfcast import pipeline as pipeline_module
from shelfcast.config import load
from shelfcast.errors import ConfigError, LakeBusy, ShelfcastError
from shelfcast.lake import locks
from shelfcast.lake.commits import commit, newest
from shelfcast.lake.ledger import Ledger, Record
from shelfcast.lake.step import Outcome
from shelfcast.pipeline import Pipeline, runaway

AS_OF = date(2017, 1, 22)


@pytest.fixture
def lake(tmp_path, monkeypatch):
    installed(monkeypatch)
    return events_lake(tmp_path)


def make(lake, *sets, **changes) -> Pipeline:
    monkeyed = ["sources.completejourney.as_of=null", *sets]
    return Pipeline(load(sets=monkeyed, lake=lake).settings, Quiet(), **changes)


def test_without_an_as_of_the_last_complete_week_of_the_logs_is_taken(lake):
    assert make(lake).as_of() == AS_OF


def test_a_configured_as_of_wins(lake):
    assert make(lake, "as_of=2017-01-10").as_of() == date(2017, 1, 10)


@pytest.mark.parametrize("day", ["2016-12-31", "2017-02-02"])
def test_an_as_of_outside_the_logs_is_refused_with_their_span(lake, day):
    with pytest.raises(ConfigError, match="span 2017-01-02 to 2017-01-25"):
        make(lake, f"as_of={day}").as_of()


def test_an_unchanged_step_is_skipped_and_a_changed_configuration_runs_again(lake):
    assert not make(lake).run(stage(), AS_OF).skipped
    assert make(lake).run(stage(), AS_OF).skipped
    assert not make(lake, "windows.context=40").run(stage(), AS_OF).skipped
    assert not make(lake, force=True).run(stage(), AS_OF).skipped
    assert len(calls) == 3


def test_only_slices_up_to_as_of_decide_whether_a_step_is_unchanged(lake):
    ledger = Ledger(lake)

    def arrive(week: str, run: str) -> None:
        record = ledger.start(run, "ingest", run, run)
        ledger.finish(
            record, type("S", (), {"inputs": {}, "outputs": {}}), Outcome(contents={"silver/events": {week: run}})
        )

    make(lake).run(stage(), AS_OF)
    arrive("2017-01-23", "later")
    assert make(lake).run(stage(), AS_OF).skipped
    assert not make(lake).run(stage(name="evaluate", ahead=True), AS_OF).skipped
    arrive("2017-01-09", "earlier")
    assert not make(lake).run(stage(), AS_OF).skipped


def test_a_failed_step_is_written_down_and_not_taken_for_done(lake):
    with pytest.raises(ShelfcastError, match="the disk is full"):
        make(lake).run(stage(fails), AS_OF)
    (record,) = Ledger(lake).records()
    assert (record.status, record.error) == ("failed", "the disk is full")
    assert not make(lake).run(stage(), AS_OF).skipped


def test_what_a_check_refuses_stops_the_run_before_the_step(lake):
    def refuses(uri, settings):
        raise ConfigError(f"windows.context is {settings.windows.context}")

    sys.modules["stand_in"].refuses = refuses
    with pytest.raises(ConfigError, match=r"windows\.context is 52"):
        make(lake).run(stage(checks="stand_in:refuses"), AS_OF)
    assert calls == []
    assert Ledger(lake).records() == []


def test_scoring_publishes_its_tables_by_one_commit_and_only_when_all_succeed(lake, monkeypatch):
    unscored(lake)
    scores = (stage(name="score forecasts"), stage(fails, name="score recommendations"))
    monkeypatch.setattr(pipeline_module, "SCORES", scores)
    with pytest.raises(ShelfcastError):
        make(lake).score(AS_OF)
    assert Ledger(lake).published_days() == []
    monkeypatch.setattr(pipeline_module, "SCORES", (scores[0], stage(name="score recommendations")))
    done = make(lake).score(AS_OF)
    assert [one.skipped for one in done] == [True, False]
    assert Ledger(lake).published(AS_OF) == {"gold/forecasts": 0, "gold/totals": 0, "gold/recommendations": 0}


def _record(attempt, rows, seconds, **more):
    return Record(
        f"r{attempt}", "features", "*", attempt, "done", "f", datetime(2024, 1, attempt, tzinfo=UTC), rows_in=rows,
        seconds=seconds, **more,
    )  # fmt: skip


def test_a_step_that_takes_far_longer_than_its_last_runs_says_so():
    before = [_record(1, 100, 100.0), _record(2, 200, 210.0), _record(3, 100, 95.0)]

    said = runaway(_record(4, 200, 600.0), before)

    assert said is not None
    assert said.startswith("took 600 s, 3.0 × what its last runs took for as many rows (200 s)")


@pytest.mark.parametrize(
    ("rows", "seconds", "earlier"),
    [
        pytest.param(600, 600.0, 3, id="as many more rows"),
        pytest.param(200, 350.0, 3, id="less than twice as long"),
        pytest.param(20, 70.0, 3, id="less than a minute more"),
        pytest.param(200, 6000.0, 1, id="nothing to compare with"),
    ],
)
def test_a_step_is_silent_when_its_cost_is_explained_small_or_new(rows, seconds, earlier):
    before = [_record(number, 100, 100.0) for number in range(1, earlier + 1)]

    assert runaway(_record(9, rows, seconds), before) is None


def test_of_two_runs_at_once_one_does_the_step_and_the_other_finds_it_done(lake):
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: make(lake).run(stage(), AS_OF), range(2)))
    assert sorted(one.skipped for one in done) == [False, True]
    assert len(calls) == 1
    assert locks.leases(lake) == []


def test_a_run_that_may_not_wait_names_the_one_that_writes_the_slice(lake):
    other, impatient = make(lake), make(lake, "locks.wait_minutes=0")
    with other.locks.held(str(AS_OF)):
        with pytest.raises(LakeBusy, match=f"slice {AS_OF} .* held by run {other.run_id}"):
            impatient.run(stage(), AS_OF)
        assert not impatient.run(stage(shared=True), AS_OF).skipped
    assert [record.run_id for record in Ledger(lake).records()] == [impatient.run_id]


def test_a_run_that_lost_its_slice_to_another_publishes_nothing(lake, monkeypatch):
    unscored(lake)

    def loses(step):
        (mine,) = locks.leases(lake)
        commit(newest(lake, locks.TABLE), [{**asdict(mine), "run_id": "another"}], "overwrite")
        return Outcome()

    sys.modules["stand_in"].loses = loses
    monkeypatch.setattr(pipeline_module, "SCORES", (stage(loses, name="score forecasts"),))
    with pytest.raises(LakeBusy, match="another run took over slice 2017-01-22"):
        make(lake).score(AS_OF)
    assert Ledger(lake).published_days() == []
