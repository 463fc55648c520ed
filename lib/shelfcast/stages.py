"""The steps as data: what each runs, reads and depends on. The pipeline puts them in order."""

import ast
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from shelfcast.lake.step import Outcome, Step
from shelfcast.lake.store import Lake
from shelfcast.lake.tables import CONTRACTS
from shelfcast.settings import Settings

Run = Callable[[Step], Outcome]


@dataclass(frozen=True)
class Stage:
    """One step of the job.

    Attributes:
        name: in the ledger and on the command line.
        runs: ``module:function``, imported when it runs: a run that skips everything loads next to nothing.
        rooms: folders whose code decides the result, as far as the step imports it.
        sections: parts of the configuration that decide the result; dots lead to single keys.
        reads: tables whose contents decide the result; their slices after as_of do not.
        writes: tables that it may write.
        ahead: whether slices over the horizon after as_of count as well (evaluation looks at what then happened).
        model: the kind of model it uses.
        checks: ``module:function`` of the lake and the configuration, called before the step starts: what it refuses
            would else be found after hours.
        shared: whether it writes slices that all as-of dates share, so that only one run at a time may do it.
        remembers: whether what it makes beside tables may hold something of single persons, so that it is out of date
            as soon as one of them is erased.
    """

    name: str
    runs: str
    rooms: tuple[str, ...]
    sections: tuple[str, ...]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    ahead: bool = False
    model: str | None = None
    checks: str | None = None
    shared: bool = False
    remembers: bool = False

    def function(self) -> Run:
        found: Run = _named(self.runs)
        return found

    def check(self, lake: Lake, settings: Settings) -> None:
        """Refuse what would fail later in the same run.

        Raises:
            ConfigError: naming the key.
        """
        if self.checks is not None:
            _named(self.checks)(lake, settings)

    def code(self) -> list[str]:
        """Hash per room of the code that decides the result."""
        module = self.runs.split(":", maxsplit=1)[0]
        return [code_id(room, module) for room in self.rooms]


def _named(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(module), name)


_RULES = "shelfcast.score.conditions:check"  # for the steps that have a Spark session in any case

INGEST = Stage(
    "ingest",
    "shelfcast.ingest.run:run",
    ("ingest", "lake"),
    ("sources", "cleaning", "calendar"),
    writes=tuple(name for name in CONTRACTS if name.startswith("silver/")),
    checks=_RULES,
    shared=True,
)
FEATURES = Stage(
    "features",
    "shelfcast.features.run:run",
    ("features", "lake"),
    ("demand", "windows", "calendar", "recommender"),
    ("silver/events", "silver/products", "silver/promotions", "silver/stores", "silver/stock"),
    (
        "gold/covariates",
        "gold/demand",
        "gold/series",
        "gold/launches",
        "gold/windows",
        "gold/lost_demand",
        "gold/interactions",
    ),
    checks=_RULES,
    shared=True,
)
TRAIN_FORECASTER = Stage(
    "train forecaster",
    "shelfcast.train.forecaster:run",
    ("train", "models"),
    ("forecaster", "windows", "train", "seed"),
    ("gold/windows", "gold/series"),
)
TRAIN_BOOSTING = Stage(
    "train boosting",
    "shelfcast.train.boosting:run",
    ("train", "models"),
    ("rivals", "windows", "forecaster.planned", "seed"),
    ("gold/windows",),
)
# A plan for after as_of lies in slices of gold/covariates that have no part in a fingerprint; the side it is from has.
_SHOP = ("gold/demand", "gold/covariates", "silver/promotions", "silver/products", "silver/stock")
TRAIN_RECOMMENDER = Stage(
    "train recommender",
    "shelfcast.train.recommender:run",
    ("train", "models"),
    ("recommender", "train", "score.on_sale_weeks", "demand", "seed"),
    (*_SHOP, "gold/interactions"),
    checks=_RULES,
    remembers=True,
)
SCORE_FORECASTS = Stage(
    "score forecasts",
    "shelfcast.score.forecasts:run",
    ("score", "models"),
    ("score", "windows", "demand"),
    ("gold/windows", "gold/series", "gold/launches"),
    ("gold/forecasts",),
    model="forecaster",
    checks=_RULES,
)
SCORE_TOTALS = Stage(
    "score totals",
    "shelfcast.score.totals:run",
    ("score", "models"),
    ("totals", "windows", "demand.grains", "forecaster.planned"),
    ("gold/forecasts", "gold/windows", "gold/demand"),
    ("gold/totals",),
)
SCORE_RECOMMENDATIONS = Stage(
    "score recommendations",
    "shelfcast.score.recommendations:run",
    ("score", "models"),
    ("score", "lists", "recommender", "demand"),
    (*_SHOP, "gold/interactions", "silver/users"),
    ("gold/recommendations",),
    model="recommender",
    checks=_RULES,
)
EVALUATE = Stage(
    "evaluate",
    "shelfcast.evaluate.run:run",
    ("evaluate", "models"),
    ("evaluate", "windows", "demand", "score", "seed"),
    ("gold/forecasts", "gold/totals", "gold/recommendations", "gold/windows", "silver/events"),
    ("ops/metrics",),
    ahead=True,
    model="boosting",
)
REPORT = Stage(
    "report",
    "shelfcast.report.run:run",
    ("report",),
    ("report", "windows", "recommender"),
    ("gold/forecasts", "gold/totals", "gold/recommendations", "ops/metrics", "silver/events"),
    ahead=True,
    remembers=True,
)

TRAINS = {"forecaster": TRAIN_FORECASTER, "recommender": TRAIN_RECOMMENDER}
RIVALS = {"boosting": TRAIN_BOOSTING}
SCORES = (SCORE_FORECASTS, SCORE_TOTALS, SCORE_RECOMMENDATIONS)

_HERE = Path(__file__).parent
_ENTRY = re.compile(r"shelfcast(\.\w+)+:\w+")  # a module that other processes are told to run


@cache
def code_id(room: str, module: str) -> str:
    """Hash of the room's files that a module leads to by imports; all of them for a module outside shelfcast."""
    reached = _reached(module)
    digest = hashlib.sha256()
    for path in sorted((_HERE / room).rglob("*")):
        wanted = path.suffix in {".j2", ".css", ".js"} or (path.suffix == ".py" and (path in reached or not reached))
        if wanted:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _reached(module: str) -> frozenset[Path]:
    """Source files of a shelfcast module and of all that it imports, anywhere in its code."""
    found: set[Path] = set()
    waiting = [path for path in (_source(module),) if path is not None]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    return frozenset(found)


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _ENTRY.fullmatch(node.value):
            names.append(node.value.split(":")[0])
    return tuple(source for name in names if (source := _source(name)) is not None)


def _source(module: str) -> Path | None:
    """The file of a module of shelfcast; None for anything else."""
    first, *rest = module.split(".")
    path = _HERE.joinpath(*rest)
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None) if first == "shelfcast" and rest else None
