"""Whether the newest complete week looks like those before it; asked before any table is written."""

from collections import defaultdict

from shelfcast.features.work import Work
from shelfcast.lake import gates


def check(work: Work) -> None:
    """Compare the newest complete week's events, and how many of them have no user, with the weeks before.

    Raises:
        GateFailed: naming the week, what was found and what was expected.
    """
    given = work.step.settings.gates
    *before, newest = work.clock.weeks(7)[-given.recent - 1 :]
    events: dict[object, int] = defaultdict(int)
    nameless: dict[object, int] = defaultdict(int)
    for entry in work.silver.census:
        events[entry.week_start] += entry.events
        nameless[entry.week_start] += entry.nameless
    counts = [float(events[week]) for week in before]
    what = f"silver/events, week {newest}"
    gates.near(f"{what}, events", events[newest], counts, given.volume_times, key="volume_times", least=given.least)
    if events[newest] >= given.least:
        shares = [nameless[week] / events[week] for week in before if events[week]]
        found = nameless[newest] / events[newest]
        gates.alike(f"{what}, events without a user", found, shares, given.nameless_apart, key="nameless_apart")
