"""The whole recommender: sequence model, candidates and ranker, as one thing that is stored and asked for lists."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
from shelfcast.models.sequence_ensemble import SequenceEnsemble
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
        sequence: the sequence models; None where the log was too small for one.
        ranker: orders candidates; None where the log was too short to learn what users do next.
    """

    config: Mapping[str, Any]
    vocabulary: pa.Array
    sequence: SequenceEnsemble | None
    ranker: Ranker | None

    def words(self, catalogue: Catalogue) -> NDArray[Any]:
        """[catalogue] the sequence model's number of each product, 0 for those it does not know."""
        return codes_in(self.vocabulary, catalogue.products).astype(np.int32) + 1

    def recommend(
        self, histories: Histories, catalogue: Catalogue, day: int, popular: NDArray[Any], k: int
    ) -> ranking.Ranked:
        """Exactly ``k`` distinct products on sale for each user, or all of them where the shop sells fewer.

        Args:
            histories: everything the users did up to ``day``, nothing later.
            day: as_of, days since 1970-01-01.
            popular: [users, P] as in :func:`shelfcast.models.ranking.rank`.
        """
        lists = [
            ranking.rank(found, self.scores(found), popular[rows], k)
            for rows, found in self.candidates(histories, catalogue, day)
        ]
        if not lists:
            empty = np.zeros((0, k))
            return ranking.Ranked(empty.astype(np.int32), empty, empty.astype(np.int8))
        parts = [(r.items, r.scores, r.reasons) for r in lists]
        return ranking.Ranked(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def candidates(self, histories: Histories, catalogue: Catalogue, day: int) -> Iterator[tuple[slice, Candidates]]:
        """Blocks of users (rows of ``histories``) with their candidates."""
        histories = histories.latest(int(self.config["history"]))
        catalogue = catalogue.with_traits(self.config["traits"])
        words = self.words(catalogue)
        codes = np.flatnonzero(catalogue.on_sale & (words > 0)).astype(np.int32)
        table, bias = self._items(words[codes] - 1)
        block = int(np.clip(_SCORES_AT_ONCE // max(len(codes), 1), 1, _USERS_AT_ONCE))
        for start in range(0, len(histories), block):
            rows = slice(start, min(start + block, len(histories)))
            part = histories.users(np.arange(rows.start, rows.stop))
            users = self._users(part, words)
            outlook = Outlook(codes, _log_softmax(users @ table + bias), users.any(1))
            yield (
                rows,
                candidate.gather(
                    part, catalogue, day, self.config["half_lives"], int(self.config["candidates"]), outlook
                ),
            )

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
            arrays |= {f"sequence/{name}": value for name, value in self.sequence.arrays().items()}
        if self.ranker is not None:
            arrays |= {f"ranker/{name}": value for name, value in self.ranker.arrays().items()}
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
        members, orders = folder.below(arrays, "sequence"), folder.below(arrays, "ranker")
        sequence = SequenceEnsemble.from_arrays(config, len(vocabulary), members) if members else None
        ranker = Ranker.from_arrays(orders) if orders else None
        return cls(config, vocabulary, sequence, ranker)


def vocabulary(catalogue: Catalogue, least: int) -> pa.Array:
    """Items with at least ``least`` events; all items with two where that leaves fewer than two."""
    known = catalogue.events >= least
    if known.sum() < 2:
        known = catalogue.events >= min(least, 2)
    return catalogue.products.filter(pa.array(known))


def _log_softmax(logits: NDArray[Any]) -> NDArray[Any]:
    if logits.shape[1] == 0:
        return logits
    logits = logits - logits.max(1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(1, keepdims=True)))
