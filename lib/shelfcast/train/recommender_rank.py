"""One rank of the recommender's training.

1. The sequence model learns from what lies before the first label window; the number of epochs is chosen on it.
2. The ranker learns from the label windows, with candidates of that sequence model, which never saw them.
3. The sequence model is fitted anew on everything up to as_of, for as many epochs.

Peers and the regression of items are learnt at each label window, and anew at as_of.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from shelfcast.models import folder, item_features, ranking
from shelfcast.models.candidates import names
from shelfcast.models.catalogue import Catalogue, codes_in
from shelfcast.models.histories import Histories
from shelfcast.models.recommender import SequenceRecommender
from shelfcast.models.recommending import Recommender, vocabulary
from shelfcast.models.sequence_ensemble import SequenceEnsemble
from shelfcast.models.sequences import Pieces, Sequences
from shelfcast.models.sizes import Sizes, sizes
from shelfcast.settings import Recommender as Options
from shelfcast.train import neighbours_fit, peers_fit, ranker_fit, ranker_stage, regression_fit
from shelfcast.train.collective import Collective
from shelfcast.train.histories import read
from shelfcast.train.members import Log, Material, Trainer, Validate
from shelfcast.train.ranker_stage import Taught

_VALIDATION_USERS = 5000
_RANKER_USERS = 3_500  # of each rank and label window; their candidates are held in memory
_K = 10


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
    users, events = collective.sum([int((np.diff(histories.offsets) > 0).sum()), len(histories.items)])
    size = sizes(options, int(users), len(vocabulary(shop[-1], options.min_item_events)), int(events))
    everyone = histories
    if size.members > 1 and collective.size > 1:  # a small log: each rank trains its members alone
        everyone = read(
            payload["lake"], payload["interactions"], 0, 1, payload["as_of"], shop[-1], payload["wanted"],
            options.event_types,
        )  # fmt: skip
    job = Job(payload, collective, options, size, histories, everyone, shop)
    taught = job.learn_to_rank()
    final = job.finished(taught)
    metrics = {
        "users": int(users), "events": int(events), "items": len(final.vocabulary), "epochs": taught.epochs,
        "members": size.members, "validation_ndcg": taught.values, "ranker": taught.ranker is not None,
        "ranks": collective.size, "embedding_gradients": job.gradients,
        "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip
    if collective.first:
        inputs = {"inputs.json": folder.encode_json(payload["inputs"]), "metrics.json": folder.encode_json(metrics)}
        folder.publish(payload["uri"], {**final.files(), **inputs}, logs=Path(payload["logs"]))
    return metrics


@dataclass
class Job:
    """What one rank knows.

    Attributes:
        histories: of this rank's users.
        everyone: histories that sequence models learn from; of all users where a rank trains members alone.
        chosen, values: epochs and validation figures of each member of the newest sequence model.
        gradients: how its embeddings' gradients travelled, dense or by rows.
    """

    payload: dict[str, Any]
    collective: Collective
    options: Options
    sizes: Sizes
    histories: Histories
    everyone: Histories
    shop: list[Catalogue]
    chosen: list[int] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)
    gradients: str = "dense"

    def learn_to_rank(self) -> Taught:
        """Stages 1 and 2."""
        most = [self.sizes.epochs] * self.sizes.members
        origins = self.payload["origins"]
        if not origins:
            self.collective.say("the log is too short for label windows: lists are ordered by decayed frequency")
            return Taught([max(self.sizes.epochs // 2, 1)] * self.sizes.members, None, [])
        kept = ranker_stage.kept(self.payload["uri"], self.collective)
        if kept is not None:
            return kept
        model = self.sequence("choose", origins[0], self.shop[0], most)
        labelled = [self._labelled(model, origin, shop) for origin, shop in zip(origins, self.shop[:-1], strict=True)]
        blocks = [block for window in labelled for block in window]
        ranker = ranker_fit.fit(blocks, self.payload["seed"], self.collective)
        found = Taught(self.chosen, ranker, self.values)
        if self.collective.first:
            ranker_stage.keep(self.payload["uri"], found)
        return found

    def finished(self, taught: Taught) -> Recommender:
        """Stage 3, with all that is learnt beside it."""
        day, shop = self.payload["as_of"], self.shop[-1]
        model = self.sequence("refit", day, shop, taught.epochs)
        return self.up_to_date(replace(model, ranker=taught.ranker), day, shop)

    def sequence(self, phase: str, until: int, shop: Catalogue, epochs: Sequence[int]) -> Recommender:
        """Sequence models fitted on everything up to ``until``; without any where there is nothing to fit."""
        known = vocabulary(shop, self.options.min_item_events)
        kinds = self.options.item_features
        said = item_features.vocabulary(shop, kinds, codes_in(known, shop.products) >= 0)
        model = Recommender(self._config(len(said)), known, None, None, said=said)
        words = model.words(shop)
        sequences = Sequences.of(self.everyone.between(-(1 << 30), until), words)
        pieces = Pieces.cut(sequences, self.sizes.max_length)
        self.chosen, self.values = [max(e, 1) for e in epochs], []
        if len(known) < 2 or not self.collective.sum(pieces.targets):
            self.collective.say("too few items or users for a sequence model: habits and popularity only")
            return model
        described = item_features.columns(shop, kinds, said)[words > 0]
        material = Material(pieces, shop.events[words > 0], sequences.newest(self.sizes.max_length), described)
        validate = self._validation(model, shop, until) if phase == "choose" else None
        trainer = Trainer(
            self.options, self.sizes, model.config, self.payload["seed"], self.collective, self.payload["uri"],
            self._log(),
        )  # fmt: skip
        found = trainer.train(phase, material, epochs, validate)
        model.sequence, self.chosen, self.values = found.ensemble, found.epochs, found.values
        self.gradients = found.gradients
        model.neighbours = neighbours_fit.fit(
            sequences, len(known), self.options.neighbours, self.payload["seed"], self.collective,
            shared=self.sizes.members > 1,
        )  # fmt: skip
        return model

    def up_to_date(self, model: Recommender, day: int, shop: Catalogue) -> Recommender:
        """The same with peers and regression as of the end of ``day``: what the ranker is taught by must be as fresh as
        what it will be told when it scores: of a month old ones it learns to trust them too little. Worth 2 % of recall
        among new products on Complete Journey.
        """
        before = self.histories.between(-(1 << 30), day).latest(self.options.history)
        given = (
            before, model.words(shop), len(model.vocabulary), day, self.options, self.payload["seed"], self.collective
        )  # fmt: skip
        regression = regression_fit.fit(*given) if self.options.predictors else None
        return replace(model, regression=regression, peers=peers_fit.fit(*given) if self.options.peers else None)

    def _validation(self, model: Recommender, shop: Catalogue, until: int) -> Validate | None:
        """NDCG@10, all ranks, of the first label window's products that are new to the user, among all on sale."""
        alone = self.sizes.members > 1
        histories = self.everyone if alone else self.histories
        history = histories.between(-(1 << 30), until)
        then = histories.between(until, until + self.payload["label_days"])
        then = then.keep(then.wanted & ~_touched(then, history))
        rng = np.random.default_rng([self.payload["seed"], 1])
        some = np.flatnonzero(np.diff(then.offsets))
        some = rng.permutation(some)[: _VALIDATION_USERS // (1 if alone else self.collective.size)]
        if not self.collective.sum(len(some)):
            return None
        before, after = history.users(some), then.users(some)

        def validate(member: SequenceRecommender, ranks: Collective) -> float:
            total = np.zeros(2)
            asked = replace(model, sequence=SequenceEnsemble([member]))
            for rows, found in asked.candidates(before, shop, until):
                new = np.where(found.touched, -np.inf, found.affinity)
                order = np.argsort(-new, axis=1, kind="stable")[:, :_K]
                lists = np.where(
                    np.isfinite(np.take_along_axis(new, order, 1)), np.take_along_axis(found.items, order, 1), -1
                )
                values = ranking.ndcg(lists, after.users(np.arange(rows.start, rows.stop)), _K)
                total += [np.nansum(values), np.isfinite(values).sum()]
            hits, users = ranks.sum(total)
            return float(hits / max(users, 1))

        return validate

    def _labelled(self, model: Recommender, origin: int, shop: Catalogue) -> list[ranker_fit.Block]:
        """Candidates of this rank's users at ``origin`` and which of them they then took."""
        asked = self.up_to_date(model, origin, shop)
        history = self.histories.between(-(1 << 30), origin)
        then = self.histories.between(origin, origin + self.payload["label_days"])
        some = np.flatnonzero((np.diff(history.offsets) > 0) & (np.diff(then.offsets) > 0))
        rng = np.random.default_rng([self.payload["seed"], origin])
        some = np.sort(rng.permutation(some)[:_RANKER_USERS])
        before, after = history.users(some), then.users(some)
        blocks = [
            (found, found.hits(after.users(np.arange(rows.start, rows.stop))))
            for rows, found in asked.candidates(before, shop, origin)
        ]
        users = int(self.collective.sum(len(some)))
        self.collective.say(f"ranker: candidates of {users} users at {date(1970, 1, 1) + timedelta(days=origin)}")
        return blocks

    def _config(self, words: int) -> dict[str, Any]:
        """
        Args:
            words: number of those that are said of items.
        """
        options, traits = self.options.model_dump(), list(self.shop[-1].traits)
        groups = [name for name in self.options.groups if name in self.shop[-1].groups]
        names_of = (
            "encoder", "units", "temperature", "half_lives", "candidates", "history", "event_types", "item_features",
            "identity_dropout",
        )  # fmt: skip
        return {
            **self.sizes.as_config(), **{name: options[name] for name in names_of}, "wanted": self.payload["wanted"],
            "traits": traits, "groups": groups, "features": names(self.options.half_lives, traits, groups),
            "words": words, "seed": self.payload["seed"], "as_of": self.payload["as_of"],
        }  # fmt: skip

    def _log(self) -> Log | None:
        if not self.collective.first:
            return None
        writer = tf.summary.create_file_writer(self.payload["logs"])

        def log(name: str, value: float, step: int) -> None:
            with writer.as_default():
                tf.summary.scalar(name, value, step)
            writer.flush()

        return log


def _touched(then: Histories, history: Histories) -> NDArray[Any]:
    """[events of then] bool: whether the user had the item in ``history``."""
    base = np.int64(max(int(then.items.max(initial=0)), int(history.items.max(initial=0))) + 1)
    return np.isin(then.rows() * base + then.items, history.rows() * base + history.items)


def _must(payload: dict[str, Any], name: str) -> bytes:
    data = folder.get(folder.partial(payload["uri"]), name)
    if data is None:
        raise FileNotFoundError(f"{folder.partial(payload['uri'])}/{name}")
    return data
