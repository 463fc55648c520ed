"""``shelfcast bench sequence``: the shipped sequence model on a benchmark file of next-item recommendation.

Everything is chosen on the validation items. The test is scored with ``--final`` only, and every such opening is
written to ops/runs with its configuration and its figures.
"""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from shelfcast.errors import ConfigError
from shelfcast.evaluate import als, next_item
from shelfcast.lake import session
from shelfcast.lake.ledger import Ledger, new_run_id
from shelfcast.lake.step import Outcome, content_id
from shelfcast.measured import Measured
from shelfcast.models import full_ranking, leave_one_out
from shelfcast.models.full_ranking import Ranking
from shelfcast.models.leave_one_out import Split
from shelfcast.pipeline import Done, Listener
from shelfcast.settings import Settings
from shelfcast.stages import code_id
from shelfcast.train.launch import launch

ENTRY = "shelfcast.train.sequence_trial:work"
STEP = "bench sequence"
K = 10


def sequence(settings: Settings, path: Path, protocol: str, seeds: int, listener: Listener, *, final: bool) -> Measured:
    """Train and measure ``seeds`` models on a file, beside the rivals.

    Args:
        path: a line is a user and its items in time order (``models.leave_one_out``).
        protocol: how the file is divided; ``leave-one-out`` is the only one yet.
        seeds: the configured one and those after it; figures are their means.
        final: measure on the test instead of the validation, and write that down.

    Raises:
        SourceError: if the file cannot be read, naming the line.
        ConfigError: if ranks cannot be started here.
        TrainingError: if a rank failed.
    """
    if settings.train.launcher == "spark":
        raise ConfigError("train.launcher is spark; trials are started by horovodrun or inline")
    data = leave_one_out.read(path)
    name = "test" if final else "validation"
    split = data.test if final else data.validation
    recommender = settings.recommender.model_dump(mode="json")
    train = settings.train.model_dump(mode="json", include={"ranks", "threads"})
    code = [code_id(room, ENTRY.partition(":")[0]) for room in ("train", "models")]
    configuration = content_id(recommender, train, settings.seed, code)[:16]
    ledger = Ledger(settings.lake)
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    slice_ = f"{path.name} {checksum} {name}"
    opened = [record for record in ledger.records() if (record.step, record.slice) == (STEP, slice_)]
    record = ledger.start(new_run_id(), STEP, slice_, configuration)
    say = listener.begin(STEP, path.name)
    try:
        found, trained = [], []
        for seed in range(settings.seed, settings.seed + seeds):
            with tempfile.TemporaryDirectory(prefix="shelfcast-sequence-") as folder:
                payload = {
                    "data": str(path.resolve()), "options": recommender, "seed": seed, "folder": folder, "final": final,
                }  # fmt: skip
                trained.append({"seed": seed, **launch(ENTRY, payload, settings.train, say=say)})
                found.append(_ranking(np.load(Path(folder) / f"{name}.npz"), split))
        rivals = {rival: next_item.rival(rival, data, split, K) for rival in next_item.RIVALS}
        factors = als.vectors(session.build(settings), split.known, len(data.items), settings.seed)
        rivals[als.NAME] = _ranking({"users": factors[0], "items": factors[1]}, split)
    except BaseException as error:
        ledger.fail(record, str(error) or type(error).__name__)
        raise
    each = [next_item.figures(one, data, K) for one in found]
    figures = {metric: float(np.mean([one[metric] for one in each])) for metric in each[0]}
    others = {rival: next_item.figures(one, data, K) for rival, one in rivals.items()}
    best = max(others, key=lambda rival: others[rival][f"ndcg@{K}"])
    document = {
        "bench": "sequence", "protocol": protocol, "data": path.name, "checksum": checksum, "split": name,
        "users": len(split.wanted), "items": len(data.items), "configuration": configuration, **figures,
        "seeds": [{**run, **values} for run, values in zip(trained, each, strict=True)],
        "rivals": others, "best_rival": best,
        "difference": next_item.interval(found[0], rivals[best], K, settings.seed),
        "segments": next_item.segments(found[0], data, split, K),
    }  # fmt: skip
    if final:
        document["openings"] = len(opened) + 1
    done = ledger.finish(record, None, Outcome(counts={"recommender": recommender, **document}))
    listener.end(Done(done, skipped=False))
    return Measured([_table(document), _by_segment(document)], document)


def _ranking(vectors: Mapping[str, NDArray[Any]], split: Split) -> Ranking:
    scores = full_ranking.products(vectors["users"], vectors["items"], vectors.get("bias"))
    return full_ranking.ranking(scores, split.known, split.wanted, min(K, len(vectors["items"])))


def _table(document: Mapping[str, Any]) -> Table:
    table = Table(
        title=f"{document['data']}, {document['protocol']}, {document['split']}: {document['users']:,} users, "
        f"all {document['items']:,} items ranked",
        title_justify="left",
    )
    names = (f"hr@{K}", f"ndcg@{K}", "mrr", "coverage", "novelty")
    table.add_column("Model")
    for name in names:
        table.add_column(name, justify="right")
    rows: Sequence[tuple[str, Mapping[str, float]]] = [
        *((f"sequence model, seed {run['seed']}", run) for run in document["seeds"]),
        *([("mean", document)] if len(document["seeds"]) > 1 else []),
        *document["rivals"].items(),
    ]
    for title, values in rows:
        table.add_row(
            title.replace("_", " "), *(f"{values[n]:.4f}" if n != "novelty" else f"{values[n]:.1f}" for n in names)
        )
    return table


def _by_segment(document: Mapping[str, Any]) -> Table:
    table = Table(title="By history length and popularity of the wanted item", title_justify="left")
    for name in ("", "users", f"hr@{K}", f"ndcg@{K}"):
        table.add_column(name, justify="right" if name else "left")
    for name, values in document["segments"].items():
        table.add_row(name, f"{values['users']:,}", f"{values[f'hr@{K}']:.4f}", f"{values[f'ndcg@{K}']:.4f}")
    return table
