"""The whole recommender: sequence model, candidates and ranker, as one thing that is stored and asked for lists."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shelfcast.models import candidates as candidate
from shelfcast.models import folder, ranking
from shelfcast.models.candidates import Candidates, Outlook
from shelfcast.models.catalogue import Catalogue, codes_in
from shelfcast.models.histories import Histories
from shelfcast.models.ranker import Ranker
from shelfcast.models.recommender import SequenceRecommender
from shelfcast.models.rules import Allowed, Rules
from shelfcast.models.sequences import Sequences

KIND = "recommender"
CONFIG, WEIGHTS, ITEMS = "config.json", "weights.npz", "items.json"
_SCORES_AT_ONCE = 1 << 23  # elements of a block's score matrix: 32 MB
_USERS_AT_ONCE = 256  # their states in the sequence model are users × max_length × dim: 26 MB each by default


@dataclass
class Recommender:
    """What makes lists.

    Attributes:
        config: ``wanted`` (event types that are predicted), ``event_types``, ``half_lives``, ``traits`` (of products,
            that the ranker is told of), ``candidates``, ``max_length``, ``history`` and the sequence model's sizes.
        vocabulary: item ids that the sequence model knows; the number of an item is its place + 1.
        sequence: the sequence model; None where the log was too small for one.
        ranker: orders candidates; None where the log was too short to learn what users do next.
    """

    config: Mapping[str, Any]
    vocabulary: pa.Array
    sequence: SequenceRecommender | None
    ranker: Ranker | None

    def words(self, catalogue: Catalogue) -> NDArray[Any]:
        """[catalogue] the sequence model's number of each product, 0 for those it does not know."""
        return codes_in(self.vocabulary, catalogue.products).astype(np.int32) + 1

    def recommend(
        self, histories: Histories, catalogue: Catalogue, day: int, popular: NDArray[Any], k: int,
        rules: Rules | None = None,
    ) -> ranking.Ranked:  # fmt: skip
        """``k`` distinct products for each user, or as many as the user may be offered where those are fewer.

        Args:
            histories: everything the users did up to ``day``, nothing later.
            day: as_of, days since 1970-01-01.
            popular: [users, P] as in :func:`shelfcast.models.ranking.rank`.
            rules: as they bear on these users; None: whatever is on sale may be listed.
        """
        rules = Rules.none(len(histories), len(catalogue)) if rules is None else rules
        best = catalogue.best_sellers(len(catalogue))
        lists = ranking.nothing(len(histories), k)
        for alike, hidden in rules.alike():
            offered = catalogue.on_sale & ~hidden
            shop, others = replace(catalogue, on_sale=offered), best[offered[best]]
            for rows, found, allowed in self._blocks(histories.users(alike), shop, day, rules.users(alike)):
                ranked = ranking.rank(found, self.scores(found), popular[alike[rows]], others, k, allowed)
                lists.put(alike[rows], ranked)
        return lists

    def candidates(self, histories: Histories, catalogue: Catalogue, day: int) -> Iterator[tuple[slice, Candidates]]:
        """Blocks of users (rows of ``histories``) with their candidates among all that is on sale."""
        for rows, found, _ in self._blocks(histories, catalogue, day, Rules.none(len(histories), len(catalogue))):
            yield rows, found

    def _blocks(
        self, histories: Histories, catalogue: Catalogue, day: int, rules: Rules
    ) -> Iterator[tuple[slice, Candidates, Allowed]]:
        """Blocks of users with what they may be offered and their candidates among that."""
        most = int(self.config["history"])
        newest = histories.latest(most)
        catalogue = catalogue.with_traits(self.config["traits"])
        words = self.words(catalogue)
        codes = np.flatnonzero(catalogue.on_sale & (words > 0)).astype(np.int32)
        table, bias = self._items(words[codes] - 1)
        block = int(np.clip(_SCORES_AT_ONCE // max(len(codes), 1), 1, _USERS_AT_ONCE))
        for start in range(0, len(histories), block):
            rows = slice(start, min(start + block, len(histories)))
            some = np.arange(rows.start, rows.stop)
            part = newest.users(some)
            allowed = Allowed(rules.users(some), histories.users(some), catalogue.on_sale, day, most)
            users = self._users(part, words)
            outlook = Outlook(codes, _log_softmax(users @ table + bias), users.any(1))
            found = candidate.gather(
                part, catalogue, day, self.config["half_lives"], int(self.config["candidates"]), outlook, allowed.barred
            )
            yield rows, found, allowed

    def scores(self, found: Candidates) -> NDArray[Any]:
        """[users, C] of candidates."""
        if self.ranker is None:
            return ranking.frequency(found, candidate.names(self.config["half_lives"], self.config["traits"]))
        return self.ranker.scores(found.features)

    def _users(self, histories: Histories, words: NDArray[Any]) -> NDArray[Any]:
        if self.sequence is None:
            return np.zeros((len(histories), 1), np.float32)
        return self.sequence.users(Sequences.of(histories, words).newest(int(self.config["max_length"])))

    def _items(self, numbers: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """[dim, S] and [S] of the items at these places of the vocabulary."""
        if self.sequence is None:
            return np.zeros((1, len(numbers)), np.float32), np.zeros(len(numbers), np.float32)
        table, bias = self.sequence.scoring()
        return np.ascontiguousarray(table[numbers].T), bias[numbers]

    def files(self) -> dict[str, bytes]:
        """The model folder's files."""
        arrays: dict[str, NDArray[Any]] = {}
        if self.sequence is not None:
            arrays |= {f"sequence/{i}": np.array(v) for i, v in enumerate(self.sequence.weights)}
        if self.ranker is not None:
            arrays |= {"ranker/mean": np.array(self.ranker.mean), "ranker/scale": np.array(self.ranker.scale)}
            arrays |= {f"ranker/{i}": np.array(v) for i, v in enumerate(self.ranker.weights)}
        return {
            CONFIG: folder.encode_json(dict(self.config)),
            WEIGHTS: folder.encode_arrays(arrays),
            ITEMS: folder.encode_json(self.vocabulary.to_pylist()),
        }

    @classmethod
    def load(cls, uri: str) -> "Recommender":
        """The finished model at ``uri``.

        Raises:
            ModelError: naming the file that is missing or damaged.
        """
        files = folder.load(uri, [CONFIG, WEIGHTS, ITEMS])
        config = folder.decode_json(files[CONFIG])
        arrays = folder.decode_arrays(files[WEIGHTS])
        vocabulary = pa.array(folder.decode_json(files[ITEMS]), pa.string())
        sequence, ranker = None, None
        if "sequence/0" in arrays:
            sequence = build_sequence(config, len(vocabulary))
            sequence.set_weights(_numbered(arrays, "sequence"))
        if "ranker/mean" in arrays:
            ranker = Ranker(arrays["ranker/mean"], arrays["ranker/scale"])
            ranker.set_weights(_numbered(arrays, "ranker"))
        return cls(config, vocabulary, sequence, ranker)


def build_sequence(config: Mapping[str, Any], items: int) -> SequenceRecommender:
    """An untrained sequence model of the configured sizes."""
    return SequenceRecommender(
        items, int(config["dim"]), int(config["units"]), float(config["dropout"]), float(config["temperature"]),
        bool(config["item_bias"]),
    )  # fmt: skip


def vocabulary(catalogue: Catalogue, least: int) -> pa.Array:
    """Items with at least ``least`` events; all items with two where that leaves fewer than two."""
    known = catalogue.events >= least
    if known.sum() < 2:
        known = catalogue.events >= min(least, 2)
    return catalogue.products.filter(pa.array(known))


def _numbered(arrays: Mapping[str, NDArray[Any]], prefix: str) -> Sequence[NDArray[Any]]:
    count = sum(name.startswith(f"{prefix}/") and name.partition("/")[2].isdigit() for name in arrays)
    return [arrays[f"{prefix}/{place}"] for place in range(count)]


def _log_softmax(logits: NDArray[Any]) -> NDArray[Any]:
    if logits.shape[1] == 0:
        return logits
    logits = logits - logits.max(1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))
