"""The whole recommender: sequence model, candidates and ranker, as one thing that is stored and asked for lists."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from shelfcast.errors import ModelError
from shelfcast.models import candidates as candidate
from shelfcast.models import folder, item_features, ranking
from shelfcast.models.candidates import Candidates, Outlook, Watch
from shelfcast.models.catalogue import Catalogue, codes_in
from shelfcast.models.circle import Around
from shelfcast.models.histories import Histories
from shelfcast.models.item_neighbours import ItemNeighbours
from shelfcast.models.item_regression import ItemRegression
from shelfcast.models.item_search import ItemSearch
from shelfcast.models.peers import Peers
from shelfcast.models.ranker import Ranker
from shelfcast.models.rules import Allowed, Rules
from shelfcast.models.sequence_ensemble import SequenceEnsemble
from shelfcast.models.sequences import Sequences

KIND = "recommender"
CONFIG, WEIGHTS, ITEMS, WORDS = "config.json", "weights.npz", "items.json", "words.json"
VECTORS = "vectors.npy"
_USERS_AT_ONCE = 256  # their features and scores stay in the cache


@dataclass
class Recommender:
    """What makes lists.

    Attributes:
        config: ``wanted`` (event types that are predicted), ``event_types``, ``half_lives``, ``traits`` and ``groups``
            (of products, that the ranker is told of), ``candidates``, ``history`` and the sequence model's sizes.
        vocabulary: item ids that the sequence model knows; the number of an item is its place + 1.
        sequence: the sequence models; None where the log was too small for one.
        ranker: orders candidates; None where the log was too short to learn what users do next.
        vectors: [vocabulary, dim or dim + 1] float32, what users' vectors are multiplied with, as :meth:`load` maps it
            into memory; None while the sequence model may still change.
        neighbours: which items of the vocabulary go together; None where there is no sequence model.
        regression: which items foretell which; None likewise.
        peers: users whom others are compared with; None where none are to count, or nobody took anything.
        said: words that the sequence model knows of items, :mod:`shelfcast.models.item_features`.
        watch: is told which part of the work is being done: encoder, repeat search, novel search, features, ranker,
            lists.
    """

    config: Mapping[str, Any]
    vocabulary: pa.Array
    sequence: SequenceEnsemble | None
    ranker: Ranker | None
    vectors: NDArray[Any] | None = None
    neighbours: ItemNeighbours | None = None
    regression: ItemRegression | None = None
    peers: Peers | None = None
    said: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    watch: Watch = candidate.unwatched
    _new: tuple[pa.Array, NDArray[Any], NDArray[Any]] | None = field(default=None, init=False, repr=False)

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
                with self.watch("ranker"):
                    scores = self.scores(found)
                with self.watch("lists"):
                    lists.put(alike[rows], ranking.rank(found, scores, popular[alike[rows]], others, k, allowed))
        return lists

    def candidates(self, histories: Histories, catalogue: Catalogue, day: int) -> Iterator[tuple[slice, Candidates]]:
        """Blocks of users (rows of ``histories``) with their candidates among all that is on sale."""
        for rows, found, _ in self._blocks(histories, catalogue, day, Rules.none(len(histories), len(catalogue))):
            yield rows, found

    def _blocks(
        self, histories: Histories, catalogue: Catalogue, day: int, rules: Rules
    ) -> Iterator[tuple[slice, Candidates, Allowed]]:
        """Blocks of users with what they may be offered and their candidates among that."""
        length, most = int(self.config["history"]), int(self.config["candidates"])
        newest = histories.latest(length)
        words, table = self.words(catalogue), self._table()
        search = self._search(catalogue, words, table)
        catalogue = catalogue.with_traits(self.config["traits"], self.config["groups"])
        around = Around(words, catalogue.on_sale, self.neighbours, self.regression, self.peers)
        with self.watch("encoder"):
            users = self._users(newest, words, table.shape[1])
        for start in range(0, len(histories), _USERS_AT_ONCE):
            rows = slice(start, min(start + _USERS_AT_ONCE, len(histories)))
            some = np.arange(rows.start, rows.stop)
            allowed = Allowed(rules.users(some), histories.users(some), catalogue.on_sale, day, length)
            outlook = Outlook(search, users[rows], around)
            found = candidate.gather(
                newest.users(some), catalogue, day, self.config["half_lives"], most, outlook, allowed.barred, self.watch
            )
            yield rows, found, allowed

    def _search(self, catalogue: Catalogue, words: NDArray[Any], table: NDArray[Any]) -> ItemSearch:
        """Over what is on sale and has a vector, of its own or by what is said of it."""
        codes = np.flatnonzero(catalogue.on_sale & (words > 0)).astype(np.int32)
        new, vectors = self._newcomers(catalogue, words, table.shape[1])
        place = np.flatnonzero(catalogue.on_sale[new])
        rows = np.concatenate([words[codes] - 1, len(table) + place])
        return ItemSearch(np.concatenate([codes, new[place]]), table, rows, vectors)

    def _newcomers(self, catalogue: Catalogue, words: NDArray[Any], width: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Codes of products that are not in the vocabulary but have known words, and their vectors, as ``_table``'s.

        Kept for the next call, as long as that is for the same products.
        """
        if self._new is None or self._new[0] is not catalogue.products:
            codes, vectors = np.zeros(0, np.int32), np.zeros((0, width), np.float32)
            if self.sequence is not None and len(self.said):
                said = item_features.columns(catalogue, self.config["item_features"], self.said)
                codes = np.flatnonzero((words == 0) & (said > 0).any(1)).astype(np.int32)
                vectors = _with_bias(*self.sequence.newcomers(said[codes]), width)
            self._new = (catalogue.products, codes, vectors)
        return self._new[1:]

    def scores(self, found: Candidates) -> NDArray[Any]:
        """[users, C] of candidates, -inf in the padding."""
        if self.ranker is None:
            known = (self.config[name] for name in ("half_lives", "traits", "groups"))
            return ranking.frequency(found, candidate.names(*known))
        return found.padded(self.ranker.scores(found.features))

    def _users(self, histories: Histories, words: NDArray[Any], width: int) -> NDArray[Any]:
        """[users, width] vectors, zeros for users without a sequence; a column of ones is for the items' biases."""
        found = np.zeros((len(histories), width), np.float32)
        if self.sequence is None:
            return found
        inputs = Sequences.of(histories, words).newest(int(self.config["max_length"]))
        vectors = self.sequence.users(inputs)
        found[:, : vectors.shape[1]] = vectors
        found[inputs.numbers[:, 0] > 0, vectors.shape[1] :] = 1
        return found

    def _table(self) -> NDArray[Any]:
        """[vocabulary, dim or dim + 1] items' vectors; a last column holds biases where the model has some."""
        if self.vectors is not None:
            return self.vectors
        if self.sequence is None:
            return np.zeros((len(self.vocabulary), 1), np.float32)
        table, bias = self.sequence.scoring()
        return _with_bias(table, bias, table.shape[1] + bool(bias.any()))

    def files(self) -> dict[str, bytes]:
        """The model folder's files."""
        arrays: dict[str, NDArray[Any]] = {}
        if self.sequence is not None:
            arrays |= {f"sequence/{name}": value for name, value in self.sequence.arrays().items()}
        learnt = {
            "neighbours": self.neighbours, "regression": self.regression, "peers": self.peers, "ranker": self.ranker
        }  # fmt: skip
        for part, found in learnt.items():
            arrays |= {} if found is None else {f"{part}/{name}": value for name, value in found.arrays().items()}
        return {
            VECTORS: folder.encode_array(np.ascontiguousarray(self._table(), np.float32)),
            CONFIG: folder.encode_json(dict(self.config)),
            WEIGHTS: folder.encode_arrays(arrays),
            ITEMS: folder.encode_json(self.vocabulary.to_pylist()),
            WORDS: folder.encode_json(self.said.to_pylist()),
        }

    @classmethod
    def load(cls, uri: str, copies: Path | None = None) -> "Recommender":
        """The finished model at ``uri``; the items' vectors stay in a file that the processes of a host share.

        Args:
            copies: where :func:`shelfcast.models.folder.mapped` may copy that file to; None: the temporary folder.

        Raises:
            ModelError: naming the file that is missing or damaged, or if the ranker was taught other features.
        """
        files = folder.load(uri, [CONFIG, WEIGHTS, ITEMS, WORDS])
        config = folder.decode_json(files[CONFIG])
        arrays = folder.decode_arrays(files[WEIGHTS])
        vocabulary = pa.array(folder.decode_json(files[ITEMS]), pa.string())
        members, orders = folder.below(arrays, "sequence"), folder.below(arrays, "ranker")
        sequence = SequenceEnsemble.from_arrays(config, len(vocabulary), members) if members else None
        ranker = Ranker.from_arrays(orders) if orders else None
        if ranker is not None:
            _check(uri, config, ranker)
        near, foretelling, alike = (folder.below(arrays, part) for part in ("neighbours", "regression", "peers"))
        neighbours = ItemNeighbours.from_arrays(near) if near else None
        regression = ItemRegression.from_arrays(foretelling) if foretelling else None
        peers = Peers.from_arrays(alike) if alike else None
        vectors = folder.mapped(uri, VECTORS, copies or Path(tempfile.gettempdir()))
        said = pa.array(folder.decode_json(files[WORDS]), pa.string())
        return cls(config, vocabulary, sequence, ranker, vectors, neighbours, regression, peers, said)


def _check(uri: str, config: Mapping[str, Any], ranker: Ranker) -> None:
    taught, told = len(ranker.mean), len(candidate.names(config["half_lives"], config["traits"], config["groups"]))
    if taught != told:
        raise ModelError(
            f"model {uri}: its ranker was taught {taught} features of a candidate, this shelfcast knows {told}: train "
            "again"
        )


def _with_bias(vectors: NDArray[Any], bias: NDArray[Any], width: int) -> NDArray[Any]:
    """The vectors, with the biases as a last column where ``width`` has room for them."""
    return np.column_stack([vectors, bias]) if width > vectors.shape[1] else vectors


def vocabulary(catalogue: Catalogue, least: int) -> pa.Array:
    """Items with at least ``least`` events; all items with two where that leaves fewer than two."""
    known = catalogue.events >= least
    if known.sum() < 2:
        known = catalogue.events >= min(least, 2)
    return catalogue.products.filter(pa.array(known))
