"""Trains the recommender for one as_of: sees to it that the ranks find what they need, then starts them."""

from datetime import date, timedelta
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import TrainingError
from shelfcast.lake import catalogue as shop
from shelfcast.lake.step import Outcome, Step
from shelfcast.models import folder
from shelfcast.models.catalogue import Catalogue
from shelfcast.train.launch import launch

KIND = "recommender"
_EPOCH = date(1970, 1, 1)


def run(step: Step) -> Outcome:
    """Train on gold/interactions up to as_of and leave a model folder.

    Raises:
        TrainingError: if no user did anything up to as_of, or a rank failed.
    """
    as_of, version = step.day(), step.fingerprint[:16]
    uri = folder.model_uri(step.lake.uri, KIND, version)
    if not folder.complete(uri):
        payload = _payload(step, as_of, uri)
        launch(
            "shelfcast.train.recommender_rank:work", payload, step.settings.train, say=step.say,
            spark=step.spark if step.settings.train.launcher == "spark" else None,
        )  # fmt: skip
    metrics = folder.decode_json(folder.load(uri, ["metrics.json"])["metrics.json"])
    counts = {"folder": uri, "model_version": version, **metrics}
    content = {f"models/{KIND}": {version: version}}
    return Outcome(rows_in=int(metrics["events"]), rows_out=0, counts=counts, contents=content)


def _payload(step: Step, as_of: date, uri: str) -> dict[str, Any]:
    settings = step.settings
    seen = shop.events(step.read("gold/interactions"), as_of, settings.recommender.event_types)
    first = _first_day(seen, as_of)
    wanted = shop.wanted_types(seen, settings.recommender.event_types)
    options = settings.recommender
    origins = label_origins(first, as_of, options.label_weeks, options.label_windows, options.label_stride)
    for day in [*origins, as_of]:
        found = Catalogue.from_table(shop.collected(shop.catalogue(step, day, wanted)))
        folder.put(folder.partial(uri), catalogue_file(day), found.to_bytes())
    return {
        "uri": uri,
        "logs": str(folder.logs_folder(uri)),
        "lake": step.lake.uri,
        "interactions": step.version("gold/interactions"),
        "inputs": dict(step.inputs),
        "as_of": number(as_of),
        "origins": [number(day) for day in origins],
        "catalogues": [catalogue_file(day) for day in [*origins, as_of]],
        "wanted": wanted,
        "seed": settings.seed,
        "settings": settings.recommender.model_dump(mode="json"),
        "label_days": settings.recommender.label_weeks * 7,
    }


def _first_day(seen: DataFrame, as_of: date) -> date:
    first: date | None = seen.agg(F.min("event_date")).head()[0]  # type: ignore[index]
    if first is None:
        raise TrainingError(
            f"gold/interactions holds no event of a known user up to {as_of} of the types in recommender.event_types: "
            "check the source's user_id and event types, or choose a later as_of"
        )
    return first


def label_origins(first: date, as_of: date, label_weeks: int, most: int, stride: int) -> list[date]:
    """Days after which ``label_weeks`` are known and can be learned from: up to ``most``, ``stride`` weeks apart,
    oldest first; only where at least as long a history lies before them.
    """
    length = timedelta(weeks=label_weeks)
    days = [as_of - length - timedelta(weeks=stride * back) for back in reversed(range(most))]
    return [day for day in days if day - length >= first - timedelta(days=1)]


def catalogue_file(day: date) -> str:
    return f"catalogue-{day.isoformat()}.parquet"


def number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - _EPOCH).days
