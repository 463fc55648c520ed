"""One rank of the recommender's training.

1. The sequence model learns from what lies before the first label window; the number of epochs is chosen on it.
2. The ranker learns from the label windows, with candidates of that sequence model, which never saw them.
3. The sequence model is fitted anew on everything up to as_of, for as many epochs.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shelfcast.models import folder, ranking
from shelfcast.models.candidates import names
from shelfcast.models.catalogue import Catalogue
from shelfcast.models.histories import Histories
from shelfcast.models.ranker import Ranker
from shelfcast.models.recommending import Recommender, build_sequence, vocabulary
from shelfcast.models.sampled_softmax import Negatives
from shelfcast.models.sequences import Pieces, Sequences
from shelfcast.settings import Recommender as Options
from shelfcast.train import ranker_fit
from shelfcast.train.checkpoint import Checkpoint
from shelfcast.train.collective import Collective
from shelfcast.train.histories import read
from shelfcast.train.sequence_fit import Fit

_VALIDATION_USERS = 5000
_RANKER_USERS = 5_000  # of each rank and label window; their candidates are held in memory
_K = 10
_STAGE = "ranker.npz"


def work(payload: dict[str, Any], collective: Collective) -> dict[str, Any]:
    """Train on this rank's users; rank 0 publishes the model folder and returns its metrics."""
    started = time.monotonic()
    shop = [Catalogue.from_bytes(_must(payload, name)) for name in payload["catalogues"]]
    shop = [found.on(shop[-1].products) for found in shop]
    options = Options(**payload["settings"])
    histories = read(
        payload["lake"], payload["interactions"], collective.rank, collective.size, payload["as_of"], shop[-1],
        payload["wanted"], options.event_types,
    )  # fmt: skip
    job = Job(payload, collective, options, histories, shop)
    epochs, ranker, values = job.learn_to_rank()
    final = job.sequence("refit", payload["as_of"], shop[-1], epochs)
    final.ranker = ranker
    users, events = collective.sum([int((np.diff(histories.offsets) > 0).sum()), len(histories.items)])
    metrics = {
        "users": int(users), "events": int(events), "items": len(final.vocabulary), "epochs": epochs,
        "validation_ndcg": values, "ranker": ranker is not None, "ranks": collective.size,
        "embedding_gradients": job.gradients,
        "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip
    if collective.first:
        inputs = {"inputs.json": folder.encode_json(payload["inputs"]), "metrics.json": folder.encode_json(metrics)}
        folder.publish(payload["uri"], {**final.files(), **inputs}, logs=Path(payload["logs"]))
    return metrics


@dataclass
class Job:
    """What one rank knows."""

    payload: dict[str, Any]
    collective: Collective
    options: Options
    histories: Histories
    shop: list[Catalogue]
    chosen: int = 1
    values: list[float] = field(default_factory=list)
    gradients: str = "dense"

    def learn_to_rank(self) -> tuple[int, Ranker | None, list[float]]:
        """Stages 1 and 2: the number of epochs to refit, the ranker, validation NDCG by epoch."""
        origins = self.payload["origins"]
        if not origins:
            self.collective.say("the log is too short for label windows: lists are ordered by decayed frequency")
            return max(self.options.epochs // 2, 1), None, []
        kept = self._kept_stage()
        if kept is not None:
            return kept
        model = self.sequence("choose", origins[0], self.shop[0], self.options.epochs)
        labelled = [self._labelled(model, origin, shop) for origin, shop in zip(origins, self.shop[:-1], strict=True)]
        blocks = [block for window in labelled for block in window]
        ranker = ranker_fit.fit(blocks, self.payload["seed"], self.collective)
        found = (self.chosen, ranker, self.values)
        self._keep_stage(*found)
        return found

    def sequence(self, phase: str, until: int, shop: Catalogue, epochs: int) -> Recommender:
        """A sequence model fitted on everything up to ``until``; without one where there is nothing to fit."""
        known = vocabulary(shop, self.options.min_item_events)
        model = Recommender(self._config(), known, None, None)
        words = model.words(shop)
        history = self.histories.between(-(1 << 30), until)
        pieces = Pieces.cut(Sequences.of(history, words), self.options.max_length)
        self.chosen, self.values = max(epochs, 1), []
        if len(known) < 2 or not self.collective.sum(pieces.targets):
            self.collective.say("too few items or users for a sequence model: habits and popularity only")
            return model
        keras.utils.set_random_seed(self.payload["seed"] + self.collective.rank)  # weights come from rank 0
        model.sequence = build_sequence(model.config, len(known))
        events = shop.events[words > 0]
        model.sequence.start_from_popularity(events)
        validate = self._validation(model, history, shop, until) if phase == "choose" else None
        fit = Fit(
            phase, model.sequence, pieces, Negatives.mixed(events, self.options.popularity_share), self.options,
            self.payload["seed"], self.collective, Checkpoint(self.payload["uri"]), validate, self._log(),
        )  # fmt: skip
        self.chosen, self.values, self.gradients = fit.run(epochs), fit.values, fit.gradients
        return model

    def _validation(
        self, model: Recommender, history: Histories, shop: Catalogue, until: int
    ) -> Callable[[], float] | None:
        """NDCG@10, all ranks, of the first label window's products that are new to the user, among all on sale."""
        rng = np.random.default_rng([self.payload["seed"], 1])
        then = self.histories.between(until, until + self.payload["label_days"])
        then = then.keep(then.wanted & ~_touched(then, history))
        some = np.flatnonzero(np.diff(then.offsets))
        some = rng.permutation(some)[: _VALIDATION_USERS // self.collective.size]
        if not self.collective.sum(len(some)):
            return None
        before, after = history.users(some), then.users(some)

        def validate() -> float:
            total = np.zeros(2)
            for rows, found in model.candidates(before, shop, until):
                new = np.where(found.features[..., -1] > 0, found.features[..., -2], -np.inf)
                new = np.where(found.touched, -np.inf, new)
                order = np.argsort(-new, axis=1, kind="stable")[:, :_K]
                lists = np.where(
                    np.isfinite(np.take_along_axis(new, order, 1)), np.take_along_axis(found.items, order, 1), -1
                )
                values = ranking.ndcg(lists, after.users(np.arange(rows.start, rows.stop)), _K)
                total += [np.nansum(values), np.isfinite(values).sum()]
            hits, users = self.collective.sum(total)
            return float(hits / max(users, 1))

        return validate

    def _labelled(self, model: Recommender, origin: int, shop: Catalogue) -> list[ranker_fit.Block]:
        """Candidates of this rank's users at ``origin`` and which of them they then took."""
        history = self.histories.between(-(1 << 30), origin)
        then = self.histories.between(origin, origin + self.payload["label_days"])
        some = np.flatnonzero((np.diff(history.offsets) > 0) & (np.diff(then.offsets) > 0))
        rng = np.random.default_rng([self.payload["seed"], origin])
        some = np.sort(rng.permutation(some)[:_RANKER_USERS])
        before, after = history.users(some), then.users(some)
        return [
            (found, found.hits(after.users(np.arange(rows.start, rows.stop))))
            for rows, found in model.candidates(before, shop, origin)
        ]

    def _config(self) -> dict[str, Any]:
        options, traits = self.options.model_dump(), list(self.shop[-1].traits)
        names_of = ("dim", "units", "dropout", "temperature", "item_bias", "half_lives", "candidates", "max_length",
                    "history", "event_types")  # fmt: skip
        return {
            **{name: options[name] for name in names_of}, "wanted": self.payload["wanted"],
            "traits": traits, "features": names(self.options.half_lives, traits),
            "seed": self.payload["seed"], "as_of": self.payload["as_of"],
        }  # fmt: skip

    def _log(self) -> Callable[[str, float, int], None] | None:
        if not self.collective.first:
            return None
        writer = tf.summary.create_file_writer(self.payload["logs"])

        def log(name: str, value: float, step: int) -> None:
            with writer.as_default():
                tf.summary.scalar(name, value, step)
            writer.flush()

        return log

    def _keep_stage(self, epochs: int, ranker: Ranker | None, values: list[float]) -> None:
        """Let a restarted run begin with stage 3."""
        if not self.collective.first:
            return
        arrays = {"epochs": np.array(epochs), "values": np.array(values)}
        if ranker is not None:
            arrays |= {"mean": np.array(ranker.mean), "scale": np.array(ranker.scale)}
            arrays |= {f"w{i}": np.array(v) for i, v in enumerate(ranker.weights)}
        folder.put(folder.partial(self.payload["uri"]), _STAGE, folder.encode_arrays(arrays))

    def _kept_stage(self) -> tuple[int, Ranker | None, list[float]] | None:
        data = folder.get(folder.partial(self.payload["uri"]), _STAGE) if self.collective.first else None
        data = self.collective.agree(data)
        if data is None:
            return None
        arrays = folder.decode_arrays(data)
        ranker = None
        if "mean" in arrays:
            ranker = Ranker(arrays["mean"], arrays["scale"])
            ranker.set_weights([arrays[f"w{i}"] for i in range(len(arrays) - 4)])
        return int(arrays["epochs"]), ranker, arrays["values"].tolist()


def _touched(then: Histories, history: Histories) -> NDArray[Any]:
    """[events of then] bool: whether the user had the item in ``history``."""
    base = np.int64(max(int(then.items.max(initial=0)), int(history.items.max(initial=0))) + 1)
    return np.isin(then.rows() * base + then.items, history.rows() * base + history.items)


def _must(payload: dict[str, Any], name: str) -> bytes:
    data = folder.get(folder.partial(payload["uri"]), name)
    if data is None:
        raise FileNotFoundError(f"{folder.partial(payload['uri'])}/{name}")
    return data
