"""The step that trains the forecaster: starts the ranks on the pinned gold/windows and names the model's folder."""

from typing import Any

from shelfcast.errors import ConfigError
from shelfcast.lake.step import Outcome, Step
from shelfcast.models import folder
from shelfcast.models.window_tensors import STATICS
from shelfcast.train.chains import TABLE, chains
from shelfcast.train.launch import launch

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
    if unknown:
        raise ConfigError(
            f"forecaster.embeddings: {', '.join(unknown)} cannot be embedded; choose among {', '.join(STATICS)}"
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
    read, stored = chains(step, pinned), step.contents(TABLE)
    slices = {day: stored.get(day) for days in read.values() for day in days}
    payload = {
        "lake": step.lake.uri,
        "version": pinned,
        "chains": read,
        "model": uri,
        "seed": step.settings.seed,
        "hyper": step.settings.forecaster.model_dump(mode="json"),
        "inputs": {TABLE: pinned},
        "made_of": {"code": dict(step.code), "data": {TABLE: slices}},
    }
    train = step.settings.train
    step.say(f"forecaster: starting {train.ranks} rank(s) by {train.launcher}")
    spark = step.spark if train.launcher == "spark" else None
    return launch(ENTRY, payload, train, say=step.say, spark=spark)
