"""Gates: what is usual passes, what is not is refused with what was found, what was expected, and the way out."""

from datetime import date, timedelta
from types import SimpleNamespace

import pytest

from shelfcast.config import load
from shelfcast.errors import GateFailed
from shelfcast.features import usual as usual_weeks
from shelfcast.features.periods import Clock
from shelfcast.features.silver import Week
from shelfcast.lake import gates
from shelfcast.lake.ledger import Ledger
from shelfcast.lake.step import Outcome
from shelfcast.score import usual as usual_scores

AS_OF = date(2024, 3, 31)


def test_a_figure_may_be_as_many_times_more_or_less_than_the_median_of_those_before():
    before = [90.0, 100.0, 110.0, 5000.0]  # the median is 105
    for fine in (35.0, 105.0, 315.0):
        gates.near("users", fine, before, 3.0, key="volume_times")
    for wrong in (34.9, 315.1, 0.0):
        with pytest.raises(GateFailed, match=r"users: \d+, expected 35 to 315, .* median of the 4 before is 105"):
            gates.near("users", wrong, before, 3.0, key="volume_times")
    with pytest.raises(GateFailed, match=r"readers see what they saw.*--set gates\.volume_times=null"):
        gates.near("users", 0.0, before, 3.0, key="volume_times")


def test_an_open_gate_too_few_before_and_too_little_say_nothing():
    gates.near("users", 0.0, [100.0] * 4, None, key="k")
    gates.near("users", 0.0, [100.0] * 3, 3.0, key="k")
    gates.near("users", 0.0, [100.0] * 4, 3.0, key="k", least=101)
    gates.near("users", 7.0, [0.0] * 4, 3.0, key="k")
    gates.alike("share", 1.0, [0.0] * 4, None, key="k")
    gates.stable("means", [1, 0], [0, 1], None, key="k")
    gates.stable("means", [0, 0], [0, 1], 0.1, key="k")


def test_shares_may_lie_so_far_apart():
    gates.alike("share", 0.3, [0.1] * 4, 0.25, key="k")
    with pytest.raises(GateFailed, match=r"share: 40\.0%, expected 0\.0% to 35\.0%, .* 4 before is 10\.0%"):
        gates.alike("share", 0.4, [0.1] * 4, 0.25, key="k")


def test_the_stability_index_is_the_published_one():
    assert gates.stability_index([25, 75], [25, 75]) == pytest.approx(0.0)
    by_hand = (0.5 - 0.25) * 0.6931 + (0.5 - 0.75) * -0.4055  # (q - p) ln(q / p)
    assert gates.stability_index([25, 75], [50, 50]) == pytest.approx(by_hand, abs=1e-3)
    gates.stable("means", [25, 75], [50, 50], 0.3, key="shift")
    with pytest.raises(GateFailed, match=r"stability index of 0\.27, expected at most 0\.25 \(25% → 50%, 75% → 50%\)"):
        gates.stable("means", [25, 75], [50, 50], 0.25, key="shift")


def work(events, *sets, nameless=None):
    """A features step that sees so many events in each of the weeks up to as_of."""
    first = AS_OF - timedelta(days=7 * len(events) - 1)
    census = [
        Week(first + timedelta(weeks=week), "purchase", count, (nameless or [0] * len(events))[week], float(count))
        for week, count in enumerate(events)
        if count
    ]
    settings = load(sets=sets).settings
    step = SimpleNamespace(settings=settings)
    return SimpleNamespace(step=step, clock=Clock("monday", first, AS_OF), silver=SimpleNamespace(census=census))


def test_a_week_that_is_missing_or_doubled_stops_the_features():
    usual_weeks.check(work([2000] * 9))
    for newest in (0, 600, 6100):
        with pytest.raises(GateFailed, match=f"silver/events, week 2024-03-25, events: {newest:,}, expected 667 to 6,"):
            usual_weeks.check(work([2000] * 8 + [newest]))
    usual_weeks.check(work([2000] * 8 + [0], "gates.volume_times=null"))
    usual_weeks.check(work([20] * 8 + [0]))
    usual_weeks.check(work([0]))


def test_a_week_whose_users_are_gone_stops_the_features():
    usual_weeks.check(work([2000] * 9, nameless=[100] * 8 + [500]))
    with pytest.raises(GateFailed, match=r"week 2024-03-25, events without a user: 100\.0%, expected 0\.0% to 30\.0%"):
        usual_weeks.check(work([2000] * 9, nameless=[100] * 8 + [2000]))


def lists(tmp_path, *earlier):
    """A step after earlier slices, a week apart, with these counts."""
    ledger = Ledger(str(tmp_path))
    for week, counts in enumerate(reversed(earlier), 1):
        record = ledger.start("r", "score recommendations", str(AS_OF - timedelta(weeks=week)), "f")
        ledger.finish(record, None, Outcome(counts=counts))
    settings = load(lake=str(tmp_path)).settings
    return SimpleNamespace(settings=settings, day=lambda: AS_OF, lake=SimpleNamespace(uri=str(tmp_path)))


def test_lists_for_far_fewer_users_or_for_other_reasons_are_refused(tmp_path):
    usual = {"users": 9000, "reason_repeat": 40_000, "reason_novel": 50_000}
    step = lists(tmp_path, *[usual] * 5)
    usual_scores.check_lists(step, usual)
    with pytest.raises(GateFailed, match=r"gold/recommendations of 2024-03-31, users: 1,000, expected 3,000 to 27,000"):
        usual_scores.check_lists(step, usual | {"users": 1000})
    with pytest.raises(GateFailed, match=r"repeat, novel, popular: shifted by .* \(44% → 0%, 56% → 10%, 0% → 90%\)"):
        usual_scores.check_lists(step, {"users": 9000, "reason_novel": 9_000, "reason_popular": 81_000})


def test_slices_too_long_ago_say_nothing_of_todays_lists(tmp_path):
    step = lists(tmp_path, *[{"users": 9000, "reason_repeat": 90_000}] + [{"users": 2, "reason_novel": 1}] * 8)
    with pytest.raises(GateFailed, match="novel"):
        usual_scores.check_lists(step, {"users": 1000, "reason_repeat": 9_000})
    ledger = Ledger(str(tmp_path / "old"))
    ledger.finish(ledger.start("r", "score recommendations", "2023-03-26", "f"), None, Outcome(counts={"users": 9}))
    settings = load(lake=str(tmp_path / "old")).settings
    old = SimpleNamespace(settings=settings, day=lambda: AS_OF, lake=SimpleNamespace(uri=str(tmp_path / "old")))
    usual_scores.check_lists(old, {"users": 9000, "reason_repeat": 90_000})
