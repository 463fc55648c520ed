"""The step that trains the forecaster: starts the ranks on the pinned gold/windows and names the model's folder."""

from datetime import date, timedelta
from typing import Any

from shelfcast.errors import ConfigError, TableMissing
from shelfcast.lake.cutoffs import cutoffs, period_days
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import Outcome, Step
from shelfcast.models import folder
from shelfcast.models.window_tensors import STATICS
from shelfcast.train.launch import launch

TABLE = "gold/windows"
ENTRY = "shelfcast.train.forecaster_rank:work"


def run(step: Step) -> Outcome:
    """Train on every cutoff up to ``as_of``, unless the model of this fingerprint is finished already.

    Returns:
        counts: folder (URI), model_version, and the training's metrics.

    Raises:
        ConfigError: if forecaster.embeddings names a column that gold/windows has not.
        TrainingError: if a rank failed; a restart resumes at the last checkpoint.
    """
    hyper = step.settings.forecaster
    unknown = sorted(set(hyper.embeddings) - set(STATICS))
    if unknown or not hyper.embeddings:
        raise ConfigError(
            f"forecaster.embeddings: {', '.join(unknown) or 'nothing'} cannot be embedded; "
            f"choose among {', '.join(STATICS)}"
        )
    version = step.fingerprint[:16]
    uri = folder.model_uri(step.lake.uri, "forecaster", version)
    if folder.complete(uri):
        step.say(f"forecaster {version} is trained already")
        metrics: dict[str, Any] = folder.decode_json(folder.load(uri, ["metrics.json"])["metrics.json"])
    else:
        metrics = _train(step, uri)
    counts = {
        "folder": uri,
        "model_version": version,
        **{name: metrics[name] for name in ("epochs", "windows", "ranks")},
    }
    counts |= {"train_seconds": metrics["seconds"], "earlier_origin": metrics["earlier_origin"]}
    content = {"models/forecaster": {version: version}}
    return Outcome(rows_in=metrics["windows"], rows_out=0, counts=counts, contents=content)


def _train(step: Step, uri: str) -> dict[str, Any]:
    pinned = step.version(TABLE)
    payload = {
        "lake": step.lake.uri,
        "version": pinned,
        "chains": chains(step, pinned),
        "model": uri,
        "seed": step.settings.seed,
        "hyper": step.settings.forecaster.model_dump(mode="json"),
        "inputs": {TABLE: pinned},
    }
    train = step.settings.train
    step.say(f"forecaster: starting {train.ranks} rank(s) by {train.launcher}")
    spark = step.spark if train.launcher == "spark" else None
    return launch(ENTRY, payload, train, say=step.say, spark=spark)


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
