"""Next-item models compared: full ranking of all items, by history length and by the target's popularity."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from shelfcast.models import full_ranking
from shelfcast.models.full_ranking import METRICS, Ranking
from shelfcast.models.leave_one_out import LeaveOneOut, Split
from shelfcast.models.sequences import Sequences

RESAMPLES = 1_000
_SHRINKAGE = 10.0  # co-occurrences that a neighbour must have before its cosine counts half
_LENGTHS = ((1, 5), (6, 10), (11, 20), (21, None))
_THIRDS = ("head", "torso", "tail")


def popularity(data: LeaveOneOut, split: Split) -> Iterator[NDArray[Any]]:
    """Blocks of scores: the same order for all, by occurrences in training, then by number."""
    counts = data.counts()
    order = np.lexsort((np.arange(len(counts)), -counts))
    scores = np.empty(len(counts), np.float32)
    scores[order] = -np.arange(len(counts))
    for rows in full_ranking.blocks(len(split.wanted), len(counts)):
        yield np.repeat(scores[None], rows.stop - rows.start, 0)


def personal_frequency(data: LeaveOneOut, split: Split) -> Iterator[NDArray[Any]]:
    """Blocks of scores: how often the user had the item already; only users who come back are served by it."""
    known = matrix(split.known, len(data.items))
    for rows in full_ranking.blocks(known.shape[0], known.shape[1]):
        yield known[rows].toarray() - np.linspace(0, 0.5, known.shape[1], dtype=np.float32)


def item_knn(data: LeaveOneOut, split: Split) -> Iterator[NDArray[Any]]:
    """Blocks of scores: sum of shrunk cosines to the user's items (Sarwar et al. 2001; shrinkage as Bell & Koren)."""
    bought = matrix(data.training, len(data.items))
    bought.data[:] = 1
    together = sp.csr_matrix(bought.T @ bought)
    norms = np.sqrt(together.diagonal())
    pairs = together.tocoo()
    apart = pairs.row != pairs.col
    row, column, count = pairs.row[apart], pairs.col[apart], pairs.data[apart]
    cosine = count / np.maximum(norms[row] * norms[column], 1) * count / (count + _SHRINKAGE)
    near = sp.csr_matrix((cosine.astype(np.float32), (row, column)), together.shape)
    known = matrix(split.known, len(data.items))
    known.data[:] = 1
    for rows in full_ranking.blocks(known.shape[0], known.shape[1]):
        yield (known[rows] @ near).toarray()


RIVALS: Mapping[str, Callable[[LeaveOneOut, Split], Iterator[NDArray[Any]]]] = {
    "popularity": popularity,
    "personal_frequency": personal_frequency,
    "item_knn": item_knn,
}


def rival(name: str, data: LeaveOneOut, split: Split, k: int) -> Ranking:
    """How one of ``RIVALS`` ranks; all but personal frequency leave out what the user had already."""
    none = np.zeros(len(split.wanted), np.int64)
    known = split.known if name != "personal_frequency" else Sequences(np.append(none, 0), none[:0], none[:0], none[:0])
    return full_ranking.ranking(RIVALS[name](data, split), known, split.wanted, min(k, len(data.items)))


def matrix(sequences: Sequences, items: int) -> Any:
    """[users, items] float32 counts, compressed by rows."""
    ones = np.ones(len(sequences.numbers), np.float32)
    found = sp.csr_matrix((ones, sequences.numbers - 1, sequences.offsets), (len(sequences.offsets) - 1, items))
    found.sum_duplicates()
    return found


def figures(found: Ranking, data: LeaveOneOut, k: int) -> dict[str, float]:
    """``hr@k``, ``ndcg@k``, ``mrr``, coverage (share of the items that stand in some list) and novelty.

    Novelty is the mean self-information of what is listed, -log2 of the share of users who had it (Castells et al.
    2011).
    """
    values = full_ranking.gains(found.places, k).mean(0)
    counts, users = data.counts(), len(data.training.offsets) - 1
    information = -np.log2(np.maximum(counts, 1) / max(users, 1))
    return {
        **{_named(name, k): float(value) for name, value in zip(METRICS, values, strict=True)},
        "coverage": len(np.unique(found.lists)) / len(counts),
        "novelty": float(information[found.lists - 1].mean()),
    }


def segments(found: Ranking, data: LeaveOneOut, split: Split, k: int) -> dict[str, dict[str, float]]:
    """Users, hr@k and ndcg@k by the length of the history and by the popularity of the wanted item.

    Head items make a third of training's events, torso items the next, tail items the last.
    """
    values, lengths = full_ranking.gains(found.places, k), np.diff(split.known.offsets)
    classes = {
        f"history {low}-{high}" if high else f"history {low}+": (lengths >= low) & (lengths <= (high or lengths.max()))
        for low, high in _LENGTHS
    }
    third = thirds(data.counts())[split.wanted - 1]
    classes |= {f"target {name}": third == place for place, name in enumerate(_THIRDS)}
    return {
        name: {"users": int(chosen.sum()), **_means(values[chosen], k)}
        for name, chosen in classes.items()
        if chosen.any()
    }


def thirds(counts: NDArray[Any]) -> NDArray[Any]:
    """[items] 0, 1 or 2: which third of all events an item belongs to, the most popular ones first."""
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    found = np.empty(len(counts), np.int64)
    found[order] = np.minimum(3 * before / max(counts.sum(), 1), 2).astype(np.int64)
    return found


def interval(ours: Ranking, theirs: Ranking, k: int, seed: int) -> dict[str, list[float]]:
    """hr@k and ndcg@k: mean difference and its 95 % interval by a paired bootstrap over users (Efron 1979)."""
    rng = np.random.default_rng(seed)
    difference = (full_ranking.gains(ours.places, k) - full_ranking.gains(theirs.places, k))[:, :2]
    drawn = np.stack([difference[rng.integers(0, len(difference), len(difference))].mean(0) for _ in range(RESAMPLES)])
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return {
        _named(name, k): [float(value) for value in (difference[:, place].mean(), low[place], high[place])]
        for place, name in enumerate(METRICS[:2])
    }


def _means(values: NDArray[Any], k: int) -> Mapping[str, float]:
    return {_named(name, k): float(values[:, place].mean()) for place, name in enumerate(METRICS[:2])}


def _named(metric: str, k: int) -> str:
    return metric if metric == "mrr" else f"{metric}@{k}"
