"""The ledger numbers attempts, remembers successes and publishes a run by one commit."""

from dataclasses import dataclass, field
from datetime import date

import pytest

from shelfcast.errors import TableMissing
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Outcome, content_id

SUNDAY = date(2017, 11, 26)


@dataclass
class FinishedStep:
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(str(tmp_path / "lake"))


def test_attempts_always_rise_even_after_one_that_never_ended(ledger):
    first = ledger.start("run1", "features", "2017-11-26", "f1")
    second = ledger.start("run2", "features", "2017-11-26", "f1")
    assert (first.attempt, second.attempt) == (1, 2)
    assert [r.status for r in ledger.records()] == ["running", "running"]


def test_a_success_is_found_by_its_fingerprint_and_a_failure_is_not(ledger):
    failed = ledger.start("run1", "score", "2017-11-26", "f1")
    ledger.fail(failed, 'it\'s "quoted"')
    assert ledger.done("score", "2017-11-26", "f1") is None
    record = ledger.start("run2", "score", "2017-11-26", "f1")
    ledger.finish(record, FinishedStep({"gold/windows": 3}, {"gold/forecasts": 1}), Outcome(5, 4, {"k": [1]}))
    found = ledger.done("score", "2017-11-26", "f1")
    assert (found.run_id, found.inputs, found.outputs, found.counts) == (
        "run2", {"gold/windows": 3}, {"gold/forecasts": 1}, {"k": [1]},
    )  # fmt: skip
    assert ledger.done("score", "2017-11-26", "f2") is None
    assert [r.error for r in ledger.records()] == ['it\'s "quoted"', None]


def test_an_older_success_does_not_hide_a_newer_one_with_other_inputs(ledger):
    for fingerprint in ("f1", "f2"):
        ledger.finish(ledger.start(fingerprint, "score", "*", fingerprint), FinishedStep(), Outcome())
    assert ledger.done("score", "*", "f1") is None
    assert ledger.done("score", "*", "f2") is not None


def test_contents_are_the_newest_of_every_slice(ledger):
    for run, slices in (("r1", {"a": "1", "b": "1"}), ("r2", {"b": "2"})):
        ledger.finish(
            ledger.start(run, "ingest", "*", run), FinishedStep(), Outcome(contents={"silver/events": slices})
        )
    assert ledger.contents() == {"silver/events": {"a": "1", "b": "2"}}


def test_what_a_failed_or_lost_attempt_wrote_is_no_longer_known(ledger):
    both = Outcome(contents={"gold/demand": {"a": "1"}, "gold/series": {"a": "1"}})
    ledger.finish(ledger.start("r1", "features", "*", "f"), FinishedStep(), both)
    ledger.finish(
        ledger.start("r1", "ingest", "*", "f"), FinishedStep(), Outcome(contents={"silver/events": {"a": "1"}})
    )
    ledger.fail(ledger.start("r2", "features", "*", "g"), "disk full", {"gold/demand": 4})
    assert ledger.contents() == {"gold/series": {"a": "1"}, "silver/events": {"a": "1"}}
    ledger.start("r3", "features", "*", "g")
    assert ledger.contents() == {"silver/events": {"a": "1"}}
    ledger.finish(ledger.start("r4", "features", "*", "g"), FinishedStep(), both)
    assert ledger.contents() == both.contents | {"silver/events": {"a": "1"}}


def test_of_tables_by_as_of_only_the_slice_that_an_unended_attempt_may_have_written_is_unknown(ledger):
    for day in ("2017-11-19", "2017-11-26"):
        outcome = Outcome(contents={"gold/forecasts": {day: "1"}, "models/boosting": {day: "1"}})
        ledger.finish(ledger.start("r1", "score forecasts", day, "f"), FinishedStep(), outcome)
    ledger.start("r2", "score forecasts", "2017-11-26", "f")
    assert ledger.contents()["gold/forecasts"] == {"2017-11-19": "1"}
    ledger.fail(ledger.start("r3", "score forecasts", "2017-11-19", "f"), "disk full", {"gold/forecasts": 4})
    assert ledger.contents()["gold/forecasts"] == {}


def test_publishing_replaces_the_as_of_as_a_whole_and_leaves_others(ledger):
    other = date(2017, 11, 19)
    ledger.publish(other, {"gold/forecasts": 1}, "r1")
    ledger.publish(SUNDAY, {"gold/forecasts": 2, "gold/recommendations": 0}, "r1")
    ledger.publish(SUNDAY, {"gold/forecasts": 5}, "r2")
    assert ledger.published(SUNDAY) == {"gold/forecasts": 5}
    assert ledger.published(other) == {"gold/forecasts": 1}
    assert ledger.published() == {"gold/forecasts": 5}
    assert ledger.published_days() == [other, SUNDAY]


def test_metrics_of_an_as_of_are_replaced_together(ledger):
    row = {"as_of": SUNDAY, "model": "forecaster", "model_version": "v", "metric": "wape", "segment": "all",
           "value": 0.6, "baseline": "naive", "run_id": "r1"}  # fmt: skip
    ledger.replace_metrics(SUNDAY, [row, row | {"metric": "rmse"}])
    ledger.replace_metrics(SUNDAY, [row | {"value": 0.5}])
    assert Snapshot(ledger.lake, "ops/metrics").arrow().to_pylist() == [row | {"value": 0.5}]


def test_what_drove_forecasts_and_how_good_they_were_are_replaced_apart(ledger):
    row = {"as_of": SUNDAY, "model": "forecaster", "model_version": "v", "metric": "wape", "segment": "all",
           "value": 0.6, "baseline": "naive", "run_id": "r1"}  # fmt: skip
    share = row | {"metric": "contribution", "segment": "group=price", "baseline": None}
    ledger.replace_contributions(SUNDAY, [share])
    ledger.replace_metrics(SUNDAY, [row])
    ledger.replace_contributions(SUNDAY, [share | {"value": 0.1}])
    ledger.replace_metrics(SUNDAY, [row | {"value": 0.5}])
    found = {r["metric"]: r["value"] for r in Snapshot(ledger.lake, "ops/metrics").arrow().to_pylist()}
    assert found == {"contribution": 0.1, "wape": 0.5}


def test_a_missing_table_is_named(ledger):
    with pytest.raises(TableMissing, match="gold/demand"):
        Snapshot(ledger.lake, "gold/demand")


def test_content_ids_depend_on_values_and_not_on_the_order_of_keys():
    assert content_id({"a": 1, "b": SUNDAY}) == content_id({"b": SUNDAY, "a": 1})
    assert content_id("a", "b") != content_id("ab")
