"""Of commits on one and the same base a single one wins, also where the table is made by it."""

import threading
from datetime import UTC, datetime

import pytest
from tenacity import RetryError

from shelfcast.lake import commits
from shelfcast.lake.commits import commit, newest, until_won

TABLE = "ops/locks"


def row(number):
    since = datetime(2024, 1, 1, tzinfo=UTC)
    return {"scope": "a", "run_id": str(number), "host": "h", "process": "p", "since": since, "seconds": 1.0, "beat": 0}


def at_once(lake, threads=4):
    """Which of them won."""
    barrier, won = threading.Barrier(threads), []

    def write(number):
        base = newest(lake, TABLE)
        barrier.wait()
        if commit(base, [row(number)], "overwrite"):
            won.append(str(number))

    running = [threading.Thread(target=write, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return won


def test_one_wins_when_a_table_is_made_and_one_when_it_is_overwritten(tmp_path):
    for attempt in range(5):
        lake = str(tmp_path / str(attempt))
        for _ in range(2):
            (winner,) = at_once(lake)
            assert [found["run_id"] for found in newest(lake, TABLE).rows()] == [winner]


def test_what_was_decided_on_an_older_version_is_not_written(tmp_path):
    lake = str(tmp_path)
    assert commit(newest(lake, TABLE), [row(1)], "overwrite")
    now, late, later = (newest(lake, TABLE) for _ in range(3))
    assert commit(now, [row(2)], "append")
    assert not commit(late, [row(3)], "append")
    assert not commit(later, [row(4)], "overwrite", "scope = 'a'")
    assert sorted(found["run_id"] for found in newest(lake, TABLE).rows()) == ["1", "2"]


def test_losing_for_too_long_is_an_error(monkeypatch):
    monkeypatch.setattr(commits, "_CONTENDED", 0.3)
    with pytest.raises(RetryError):
        until_won(lambda: None)
    assert until_won(iter([None, None, "won"]).__next__) == "won"
