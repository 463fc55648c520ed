"""Which cutoffs of gold/windows an as-of date is trained on."""

from datetime import date, timedelta

from shelfcast.errors import TableMissing
from shelfcast.lake.cutoffs import cutoffs, period_days
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Step

TABLE = "gold/windows"


def chains(step: Step, version: int) -> dict[str, list[str]]:
    """Grain → cutoffs to train on, ISO, oldest first: its cutoff at ``as_of`` and every stride before it.

    Raises:
        TableMissing: if the windows of this as-of are not stored.
    """
    stored = set(Snapshot(step.lake.uri, TABLE, version).slices())
    found: dict[str, list[str]] = {}
    for grain, newest in cutoffs(step.settings, step.day()).items():
        if newest.isoformat() not in stored:
            raise TableMissing(f"table {TABLE} has no windows of {grain} at cutoff {newest}: build the features first")
        stride = timedelta(days=period_days(grain) * step.settings.windows.stride)
        earliest = min(stored)
        days = [newest - n * stride for n in range((newest - date.fromisoformat(earliest)) // stride + 1)]
        found[grain] = [day.isoformat() for day in reversed(days) if day.isoformat() in stored]
    return found
