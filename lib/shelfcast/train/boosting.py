"""The step that trains the forecaster's rival: LightGBM on the same windows, positions and plans."""

from typing import Any

import pyarrow.compute as pc

from shelfcast.lake.step import Outcome, Step
from shelfcast.models import boosting, folder
from shelfcast.models.window_tensors import STATICS
from shelfcast.settings import Rivals
from shelfcast.train.chains import TABLE, chains
from shelfcast.train.collective import Collective
from shelfcast.train.windows_share import BUCKETS, WindowsShare


def run(step: Step) -> Outcome:
    """Fit boosters on every cutoff up to ``as_of``, unless those of this fingerprint are finished already.

    Returns:
        counts: folder (URI), model_version, rows and features.

    Raises:
        TableMissing: if the windows of this as-of are not stored.
    """
    version = step.fingerprint[:16]
    uri = folder.model_uri(step.lake.uri, boosting.KIND, version)
    if folder.complete(uri):
        step.say(f"LightGBM {version} is trained already")
        metrics: dict[str, Any] = folder.decode_json(folder.load(uri, ["metrics.json"])["metrics.json"])
    else:
        metrics = _fit(step, uri)
    counts = {"folder": uri, "model_version": version, **metrics}
    return Outcome(rows_in=metrics["rows"], counts=counts, contents={f"models/{boosting.KIND}": {version: version}})


def _fit(step: Step, uri: str) -> dict[str, Any]:
    settings, rivals = step.settings, step.settings.rivals
    threads = settings.train.threads * settings.train.ranks
    pinned = step.version(TABLE)
    read = WindowsShare(step.lake.uri, pinned, chains(step, pinned), Collective(threads=threads, say=step.say))
    series = read.snapshot.count(read.where)
    if series > rivals.rows:  # what is loaded is bounded too
        read.where = read.where & (pc.field("bucket") < max(1, BUCKETS * rivals.rows // series))
    share = read.load(STATICS, rivals.min_sale_periods)
    planned = list(settings.forecaster.planned)
    windows = boosting.thinned(share.windows, share.least_sales, rivals.rows, settings.seed)
    given = boosting.data(windows, share.least_sales, planned)
    step.say(f"LightGBM: {len(given.features):,} rows of {given.features.shape[1]} features")
    boosters = boosting.fit(given, rivals.objectives, parameters(rivals, threads, settings.seed), step.say)
    metrics = {"rows": len(given.features), "features": given.features.shape[1], "series": len(windows)}
    files = boosting.Boosting(boosters, share.vocabularies, planned, share.inputs.seasonal).files()
    folder.publish(uri, {**files, "metrics.json": folder.encode_json(metrics)})
    return metrics


def parameters(rivals: Rivals, threads: int, seed: int) -> dict[str, Any]:
    """LightGBM's own parameters, and what ``boosting.fit`` takes besides."""
    return {
        "num_boost_round": rivals.rounds, "scale_power": rivals.scale_power, "num_leaves": rivals.leaves,
        "learning_rate": rivals.learning_rate, "min_data_in_leaf": rivals.rows_in_leaf,
        "feature_fraction": rivals.feature_share, "bagging_fraction": rivals.row_share, "bagging_freq": 1,
        "max_bin": 127, "cat_smooth": 20, "force_col_wise": True, "deterministic": True, "seed": seed,
        "num_threads": threads, "verbosity": -1,
    }  # fmt: skip
