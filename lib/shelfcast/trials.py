"""Configurations of the forecaster tried at earlier origins: what tuning and ablation share.

All origins lie inside the windows of one cutoff, a horizon after the last of them, which the features step builds as
for any other as-of date: nothing later is read, whatever the logs hold. A trial at an origin trains on those windows
rolled back to it and is measured on the horizon that followed. Series are those of the first grain.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from shelfcast.errors import ConfigError
from shelfcast.lake.cutoffs import cutoffs, period_days
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Step, content_id
from shelfcast.models import folder
from shelfcast.pipeline import Listener, Pipeline
from shelfcast.settings import Forecaster, Settings
from shelfcast.stages import FEATURES, INGEST, code_id
from shelfcast.train.chains import TABLE, chains
from shelfcast.train.launch import launch

ENTRY = "shelfcast.train.forecaster_trial:work"
METRICS = ("nll", "wape", "rmse", "bias")


@dataclass(frozen=True)
class Rolling:
    """Rolling origins of one lake.

    Attributes:
        settings: the whole configuration, with the first grain only.
        origins: origin → periods from it to the windows' cutoff.
        version: of gold/windows.
        chain: grain → cutoffs to read, ISO, oldest first.
        data: what decides a trial's result besides its configuration: content ids of the windows read, and of code.
    """

    settings: Settings
    origins: Mapping[date, int]
    version: int
    chain: Mapping[str, Sequence[str]]
    data: Mapping[str, Any]

    def score(self, hyper: Forecaster, origin: date, say: Callable[[str], None]) -> dict[str, Any]:
        """Figures of a configuration at an origin; what was tried before on the same data is not trained again.

        Raises:
            TrainingError: if a rank failed or no series can be measured.
        """
        payload: dict[str, Any] = {
            "chains": self.chain, "hyper": hyper.model_dump(mode="json"), "seed": self.settings.seed,
            "rolled_back": self.origins[origin], "min_sale_periods": self.settings.evaluate.min_sale_weeks,
        }  # fmt: skip
        train = self.settings.train.model_dump(mode="json", include={"ranks", "threads"})
        name = f"{content_id(payload, train, self.data)[:16]}.json"
        uri = folder.model_uri(self.settings.lake, "tuning", "trials")
        kept = folder.get(uri, name)
        if kept is not None:
            return dict(folder.decode_json(kept))
        place = {"lake": self.settings.lake, "version": self.version}
        found = launch(ENTRY, payload | place, self.settings.train, say=say)
        folder.put(uri, name, folder.encode_json(found))
        return found


def rolling(settings: Settings, origins: Sequence[date], listener: Listener) -> Rolling:
    """Build the windows that ``origins`` need.

    Raises:
        ConfigError: if there are no origins, if they do not lie whole periods apart, further apart than a window
            reaches, or less than a horizon before the end of the logs.
    """
    if not origins:
        raise ConfigError("no origins were given: pass --origin YYYY-MM-DD, or set tuning.origins")
    if settings.train.launcher == "spark":
        raise ConfigError("train.launcher is spark; trials are started by horovodrun or inline")
    pipeline = Pipeline(settings, listener)
    pipeline.run(INGEST)
    grain = settings.demand.grains[0]
    first = settings.model_copy(update={"demand": settings.demand.model_copy(update={"grains": [grain]})})
    ends = {origin: cutoffs(first, origin)[grain] for origin in sorted(set(origins))}
    horizon, days = settings.windows.horizon, period_days(grain)
    newest = max(ends.values()) + timedelta(days=horizon * days)
    back = {origin: (newest - end).days // days for origin, end in ends.items()}
    _check(settings, back, newest)
    pipeline.run(FEATURES, newest)
    version = Snapshot(settings.lake, TABLE).version
    step = Step(pipeline.lake, first, newest, pipeline.run_id, attempt=0)
    chain = chains(step, version)
    stored = pipeline.ledger.contents().get(TABLE, {})
    data = {
        "windows": {day: stored.get(day) for days_ in chain.values() for day in days_},
        "code": [code_id(room, ENTRY.split(":", maxsplit=1)[0]) for room in ("train", "models")],
    }
    return Rolling(first, back, version, chain, data)


def _check(settings: Settings, back: Mapping[date, int], newest: date) -> None:
    if max(back.values()) >= settings.windows.stride:
        raise ConfigError(
            f"origins {min(back)} to {max(back)}: the first lies {max(back.values())} periods before the end of the "
            f"last one's horizon; fewer than {settings.windows.stride} (windows.stride) fit: choose them nearer"
        )
    weeks = Snapshot(settings.lake, "silver/events").slices()
    last = date.fromisoformat(weeks[-1]) + timedelta(days=6) if weeks else None
    if last is None or last < newest:
        raise ConfigError(
            f"origin {max(back)}: what happened in the horizon after it, until {newest}, has not arrived "
            f"(the logs end by {last}): choose earlier origins"
        )


def mean(figures: Sequence[Mapping[str, Any]], metric: str) -> float:
    """Of a metric over origins."""
    return sum(float(one[metric]) for one in figures) / len(figures)
