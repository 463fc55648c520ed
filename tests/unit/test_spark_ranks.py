"""Ranks as Spark tasks: they need as many free places at once."""

from types import SimpleNamespace

import pytest

from shelfcast.errors import TrainingError
from shelfcast.train import spark_ranks


def session(**conf: str) -> SimpleNamespace:
    """As much of a Spark session as is asked for its settings."""
    settings = {key.replace("_", "."): value for key, value in conf.items()}
    return SimpleNamespace(sparkContext=SimpleNamespace(getConf=lambda: settings))


def slots(monkeypatch: pytest.MonkeyPatch, *counts: int | None) -> None:
    given = iter(counts)
    monkeypatch.setattr(spark_ranks, "task_slots", lambda _: next(given))
    monkeypatch.setattr(spark_ranks.time, "sleep", lambda _: None)


def test_a_cluster_with_too_few_task_slots_is_refused_with_what_to_do(monkeypatch):
    slots(monkeypatch, 3)
    monkeypatch.setattr(spark_ranks, "_START_SECONDS", -1)

    with pytest.raises(TrainingError, match=r"needs 4 task slots at once .* has 3: .* train.ranks to at most 3"):
        spark_ranks.await_slots(session(), 4, print)


def test_executors_that_still_register_are_waited_for(monkeypatch):
    slots(monkeypatch, 1, 1, 4)
    told: list[str] = []

    spark_ranks.await_slots(session(), 4, told.append)

    assert told == ["waiting for 4 task slots, of which 1 are there"]


@pytest.mark.parametrize("conf", [{"spark_dynamicAllocation_enabled": "true"}, {}])
def test_nothing_is_waited_for_where_the_cluster_grows_or_does_not_tell(monkeypatch, conf):
    slots(monkeypatch, *([] if conf else [None]))

    spark_ranks.await_slots(session(**conf), 4, pytest.fail)
