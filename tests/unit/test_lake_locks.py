"""Locks: one holder at a time across threads and processes, given up by the dead, never by a clock."""

import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shelfcast.errors import LakeBusy
from shelfcast.lake import locks as locks_module
from shelfcast.lake.commits import commit, newest
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.locks import EVERYTHING, Lease, Locks, leases
from shelfcast.settings import Locks as Terms

SLICE = "2017-11-26"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(locks_module, "_POLL_SECONDS", 0.05)


@pytest.fixture
def lake(tmp_path):
    return str(tmp_path / "lake")


def locks(lake, run_id, wait=0.0, lease=1.0) -> Locks:
    return Locks(lake, run_id, Terms(wait_minutes=wait / 60, lease_minutes=lease / 60))


def elsewhere(lake, **changes) -> Lease:
    """A lease that a run on another machine holds."""
    lease = Lease(SLICE, "far", "other-host 1", "12 345", datetime(2024, 1, 1, tzinfo=UTC), 0.3)
    lease = replace(lease, **changes)
    assert commit(newest(lake, "ops/locks"), [lease.__dict__], "overwrite")
    return lease


def test_who_comes_second_is_told_who_holds_it_and_other_slices_are_free(lake):
    first, second = locks(lake, "one"), locks(lake, "two")
    with first.held(SLICE):
        assert [(lease.scope, lease.run_id) for lease in leases(lake)] == [(SLICE, "one")]
        with pytest.raises(LakeBusy, match=rf"slice {SLICE} .* is held by run one, process {os.getpid()} on "):
            second.held(SLICE).__enter__()
        with second.held("2017-11-19"), second.held(EVERYTHING):
            assert len(leases(lake)) == 3
    assert leases(lake) == []
    with second.held(SLICE):
        assert [lease.run_id for lease in leases(lake)] == ["two"]


def test_what_was_held_within_a_block_is_given_back_at_its_end_and_nothing_is_locked_unasked(lake):
    first, second = locks(lake, "one"), locks(lake, "two")
    with first.kept(SLICE):
        assert newest(lake, "ops/locks").rows() == []
        with first.held(SLICE):
            pass
        with pytest.raises(LakeBusy):
            second.held(SLICE).__enter__()
        first.require()
    assert leases(lake) == []


def test_a_thread_holds_once_more_what_it_holds_and_another_thread_of_the_run_waits(lake):
    one, order = locks(lake, "one"), []

    def other():
        with one.held(SLICE):
            order.append("other")

    with one.held(SLICE):
        with one.held(SLICE):
            thread = threading.Thread(target=other)
            thread.start()
        time.sleep(0.2)
        order.append("first")
        assert [lease.scope for lease in leases(lake)] == [SLICE]
    thread.join()
    assert order == ["first", "other"]
    assert leases(lake) == []


def test_a_waiting_run_says_for_whom_and_goes_on_when_it_is_done(lake):
    first, second, said, reached = locks(lake, "one"), locks(lake, "two", wait=30), [], []

    def wait():
        with second.held(SLICE, said.append):
            reached.append([lease.run_id for lease in leases(lake)])

    with first.held(SLICE):
        waiting = threading.Thread(target=wait)
        waiting.start()
        time.sleep(0.3)
        assert reached == []
    waiting.join(10)
    assert reached == [["two"]]
    assert len(said) == 1
    assert said[0].startswith(f"waiting for slice {SLICE}, held by run one, process ")


HELD_BY_A_KILLED_PROCESS = """
held = Locks(lake, "killed", Terms(wait_minutes=0, lease_minutes=60)).held("2017-11-26")
held.__enter__()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_held_is_taken_over_at_once(lake):
    assert in_processes(HELD_BY_A_KILLED_PROCESS, lake, processes=1) == [-9]
    assert [lease.run_id for lease in leases(lake)] == ["killed"]
    said = []
    with locks(lake, "next").held(SLICE, said.append):
        assert [lease.run_id for lease in leases(lake)] == ["next"]
    assert len(said) == 1
    assert "was left locked by run killed" in said[0]


def test_the_process_number_of_a_dead_holder_may_belong_to_somebody_else_by_now(lake):
    elsewhere(lake, host=locks_module._host(), process=f"{os.getpid()} 1", seconds=600)
    with locks(lake, "next").held(SLICE):
        assert [lease.run_id for lease in leases(lake)] == ["next"]


def test_a_lease_elsewhere_ends_only_after_its_time_without_a_beat_whatever_its_clock_says(lake):
    elsewhere(lake)  # taken long ago, by its own clock
    with pytest.raises(LakeBusy, match="run far, process 12 on other-host, since 2024-01-01"):
        locks(lake, "next").held(SLICE).__enter__()
    began = time.monotonic()
    with locks(lake, "next", wait=20).held(SLICE):
        assert time.monotonic() - began > 0.3


def test_a_holder_renews_its_lease_so_that_a_patient_waiter_never_takes_it(lake):
    first = locks(lake, "one", lease=0.6)
    with first.held(SLICE):
        machine = elsewhere(lake, **{**leases(lake)[0].__dict__, "host": "other-host 1"})  # whose process is not seen
        with pytest.raises(LakeBusy):
            locks(lake, "two", wait=2).held(SLICE).__enter__()
        assert leases(lake)[0].beat > machine.beat + 3
        first.require()


def test_who_lost_its_lease_may_not_publish_and_leaves_the_new_holders_alone(lake):
    one = locks(lake, "one", lease=600)
    with one.held(SLICE):
        one.require()
        elsewhere(lake)
        with pytest.raises(LakeBusy, match=f"another run took over slice {SLICE}"):
            one.require()
    assert [lease.run_id for lease in leases(lake)] == ["far"]


COUNTED_UNDER_A_LOCK = """
mine, path = Locks(lake, str(os.getpid()), Terms(wait_minutes=2, lease_minutes=1)), Path(lake, "count")
for _ in range(5):
    with mine.held("2017-11-26"):
        path.write_text(str(int(path.read_text()) + 1))
"""
RUNS_BEGUN = """
for number in range(5):
    Ledger(lake).start(f"run-{os.getpid()}-{number}", "features", "*", "f")
"""
PRELUDE = """
import os, signal, sys
from pathlib import Path
from shelfcast.lake import locks
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.locks import Locks
from shelfcast.settings import Locks as Terms
locks._POLL_SECONDS = 0.05
lake = sys.argv[1]
"""


def in_processes(script, lake, processes=3):
    """Their exit codes."""
    command = [sys.executable, "-c", PRELUDE + script, lake]
    running = [subprocess.Popen(command, start_new_session=True) for _ in range(processes)]
    return [process.wait(120) for process in running]


def test_processes_that_count_under_a_lock_lose_no_count(lake, tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "count").write_text("0")
    assert in_processes(COUNTED_UNDER_A_LOCK, lake) == [0, 0, 0]
    assert (tmp_path / "lake" / "count").read_text() == "15"


def test_attempts_that_begin_at_once_have_numbers_of_their_own(lake):
    assert in_processes(RUNS_BEGUN, lake) == [0, 0, 0]
    assert [record.attempt for record in Ledger(lake).records()] == list(range(1, 16))
