"""The steps as data: what each runs, reads and depends on. The pipeline puts them in order."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from shelfcast.lake.step import Outcome, Step

Run = Callable[[Step], Outcome]


@dataclass(frozen=True)
class Stage:
    """One step of the job.

    Attributes:
        name: in the ledger and on the command line.
        runs: ``module:function``, imported when it runs: a run that skips everything loads next to nothing.
        rooms: folders whose code decides the result.
        sections: parts of the configuration that decide the result.
        reads: tables whose contents decide the result; their slices after as_of do not.
        ahead: whether slices over the horizon after as_of count as well (evaluation looks at what then happened).
        model: the kind of model it uses.
    """

    name: str
    runs: str
    rooms: tuple[str, ...]
    sections: tuple[str, ...]
    reads: tuple[str, ...] = ()
    ahead: bool = False
    model: str | None = None

    def function(self) -> Run:
        module, name = self.runs.split(":")
        found: Run = getattr(import_module(module), name)
        return found


INGEST = Stage(
    "ingest",
    "shelfcast.ingest.run:run",
    ("ingest", "lake"),
    ("sources", "cleaning", "calendar"),
)
FEATURES = Stage(
    "features",
    "shelfcast.features.run:run",
    ("features", "lake"),
    ("demand", "windows", "calendar", "recommender"),
    ("silver/events", "silver/products", "silver/promotions", "silver/stores", "silver/stock"),
)
TRAIN_FORECASTER = Stage(
    "train forecaster",
    "shelfcast.train.forecaster:run",
    ("train", "models"),
    ("forecaster", "windows", "train", "seed"),
    ("gold/windows", "gold/series"),
)
TRAIN_RECOMMENDER = Stage(
    "train recommender",
    "shelfcast.train.recommender:run",
    ("train", "models"),
    ("recommender", "train", "score", "demand", "seed"),
    ("gold/interactions", "gold/demand", "silver/products", "silver/stock"),
)
SCORE_FORECASTS = Stage(
    "score forecasts",
    "shelfcast.score.forecasts:run",
    ("score", "models"),
    ("score", "windows", "demand"),
    ("gold/windows", "gold/series"),
    model="forecaster",
)
SCORE_RECOMMENDATIONS = Stage(
    "score recommendations",
    "shelfcast.score.recommendations:run",
    ("score", "models"),
    ("score", "recommender", "demand"),
    ("gold/interactions", "gold/demand", "silver/products", "silver/users", "silver/stock"),
    model="recommender",
)
EVALUATE = Stage(
    "evaluate",
    "shelfcast.evaluate.run:run",
    ("evaluate", "models"),
    ("evaluate", "windows", "demand", "score", "seed"),
    ("gold/forecasts", "gold/recommendations", "gold/windows", "silver/events"),
    ahead=True,
)
REPORT = Stage(
    "report",
    "shelfcast.report.run:run",
    ("report",),
    ("report", "windows", "recommender"),
    ("gold/forecasts", "gold/recommendations", "ops/metrics", "silver/events"),
    ahead=True,
)

TRAINS = {"forecaster": TRAIN_FORECASTER, "recommender": TRAIN_RECOMMENDER}
SCORES = (SCORE_FORECASTS, SCORE_RECOMMENDATIONS)


@cache
def code_id(room: str) -> str:
    """Hash of a room's source files."""
    digest = hashlib.sha256()
    for path in sorted((Path(__file__).parent / room).rglob("*")):
        if path.suffix in {".py", ".j2", ".css", ".js"}:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
