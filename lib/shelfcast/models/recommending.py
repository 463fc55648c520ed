"""The whole recommender: sequence model, candidates and ranker, as one thing that is stored and asked for lists."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shelfcast.models import candidates as candidate
from shelfcast.models import folder, ranking
from shelfcast.models.candidates import Candidates, Outlook, Watch
from shelfcast.models.catalogue import Catalogue, codes_in
from shelfcast.models.histories import Histories
from shelfcast.models.item_search import ItemSearch
from shelfcast.models.ranker import Ranker
from shelfcast.models.recommender import SequenceRecommender
from shelfcast.models.sequences import Sequences

KIND = "recommender"
CONFIG, WEIGHTS, ITEMS, VECTORS = "config.json", "weights.npz", "items.json", "vectors.npy"
_USERS_AT_ONCE = 256  # their features and scores stay in the cache
_USERS_ENCODED = 256  # at once: their states in the sequence model are users × max_length × dim, 26 MB each by default


@dataclass
class Recommender:
    """What makes lists.

    Attributes:
        config: ``wanted`` (event types that are predicted), ``event_types``, ``half_lives``, ``traits`` (of products,
            that the ranker is told of), ``candidates``, ``max_length``, ``history`` and the sequence model's sizes.
        vocabulary: item ids that the sequence model knows; the number of an item is its place + 1.
        sequence: the sequence model; None where the log was too small for one.
        ranker: orders candidates; None where the log was too short to learn what users do next.
        vectors: [vocabulary, dim or dim + 1] float32, what users' vectors are multiplied with, as :meth:`load` maps it
            into memory; None while the sequence model may still change.
        watch: is told which part of the work is being done: encoder, repeat search, novel search, features, ranker,
            lists.
    """

    config: Mapping[str, Any]
    vocabulary: pa.Array
    sequence: SequenceRecommender | None
    ranker: Ranker | None
    vectors: NDArray[Any] | None = None
    watch: Watch = candidate.unwatched

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
        lists = []
        for rows, found in self.candidates(histories, catalogue, day):
            with self.watch("ranker"):
                scores = self.scores(found)
            with self.watch("lists"):
                lists.append(ranking.rank(found, scores, popular[rows], k))
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
        table = self._table()
        search = ItemSearch(codes, table, words[codes] - 1)
        with self.watch("encoder"):
            users = self._users(histories, words, table.shape[1])
        for start in range(0, len(histories), _USERS_AT_ONCE):
            rows = slice(start, min(start + _USERS_AT_ONCE, len(histories)))
            part = histories.users(np.arange(rows.start, rows.stop))
            half_lives, most = self.config["half_lives"], int(self.config["candidates"])
            outlook = Outlook(search, users[rows])
            yield rows, candidate.gather(part, catalogue, day, half_lives, most, outlook, self.watch)

    def scores(self, found: Candidates) -> NDArray[Any]:
        """[users, C] of candidates, -inf in the padding."""
        if self.ranker is None:
            return ranking.frequency(found, candidate.names(self.config["half_lives"], self.config["traits"]))
        return found.padded(self.ranker.scores(found.features))

    def _users(self, histories: Histories, words: NDArray[Any], width: int) -> NDArray[Any]:
        """[users, width] vectors, zeros for users without a sequence; a column of ones is for the items' biases."""
        found = np.zeros((len(histories), width), np.float32)
        if self.sequence is None:
            return found
        numbers = Sequences.of(histories, words).newest(int(self.config["max_length"]))
        sizes = (numbers > 0).sum(1)
        order = np.argsort(sizes, kind="stable")[np.count_nonzero(sizes == 0) :]
        for start in range(0, len(order), _USERS_ENCODED):  # users of like length together: less padding
            chosen = order[start : start + _USERS_ENCODED]
            vectors = self.sequence.users(numbers[chosen, : sizes[chosen[-1]]])
            found[chosen, : vectors.shape[1]] = vectors
            found[chosen, vectors.shape[1] :] = 1
        return found

    def _table(self) -> NDArray[Any]:
        """[vocabulary, dim or dim + 1] items' vectors; a last column holds biases where the model has some."""
        if self.vectors is not None:
            return self.vectors
        if self.sequence is None:
            return np.zeros((len(self.vocabulary), 1), np.float32)
        table, bias = self.sequence.scoring()
        return np.column_stack([table, bias]) if bias.any() else table

    def files(self) -> dict[str, bytes]:
        """The model folder's files."""
        arrays: dict[str, NDArray[Any]] = {}
        if self.sequence is not None:
            arrays |= {f"sequence/{i}": np.array(v) for i, v in enumerate(self.sequence.weights)}
        if self.ranker is not None:
            arrays |= {"ranker/mean": np.array(self.ranker.mean), "ranker/scale": np.array(self.ranker.scale)}
            arrays |= {f"ranker/{i}": np.array(v) for i, v in enumerate(self.ranker.weights)}
        return {
            VECTORS: folder.encode_array(np.ascontiguousarray(self._table(), np.float32)),
            CONFIG: folder.encode_json(dict(self.config)),
            WEIGHTS: folder.encode_arrays(arrays),
            ITEMS: folder.encode_json(self.vocabulary.to_pylist()),
        }

    @classmethod
    def load(cls, uri: str, copies: Path | None = None) -> "Recommender":
        """The finished model at ``uri``; the items' vectors stay in a file that the processes of a host share.

        Args:
            copies: where :func:`shelfcast.models.folder.mapped` may copy that file to; None: the temporary folder.

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
        vectors = folder.mapped(uri, VECTORS, copies or Path(tempfile.gettempdir()))
        return cls(config, vocabulary, sequence, ranker, vectors)


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
