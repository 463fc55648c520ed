"""Training the recommender: what a rank reads, what it may learn from, and that it learns."""

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from shelfcast.config import load
from shelfcast.models import ranking
from shelfcast.models.catalogue import Catalogue
from shelfcast.models.histories import Histories
from shelfcast.models.sizes import sizes
from shelfcast.train.collective import Collective
from shelfcast.train.histories import read
from shelfcast.train.recommender import label_origins
from shelfcast.train.recommender_rank import Job

MONDAY = date(2024, 1, 1)
TYPES = ["purchase", "view"]
SMALL = {
    "members": 1, "dim": 16, "units": 8, "epochs": 6, "patience": 1, "batch_targets": 200, "negatives": 64,
    "max_length": 20, "dropout": 0.1, "item_bias": True, "learning_rate": 0.009,
}  # fmt: skip


def number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def week(user: str, bucket: int, start: date, *events: tuple[str, str, int]) -> dict[str, Any]:
    """A row of gold/interactions; events are (product, type, days after the week's start)."""
    days = [start + timedelta(days=day) for _, _, day in events]
    return {
        "user_id": user, "week_start": start, "bucket": bucket, "store_id": "s", "items": [e[0] for e in events],
        "types": [e[1] for e in events], "times": [datetime(d.year, d.month, d.day, 9) for d in days],  # noqa: DTZ001
        "dates": days, "quantities": [1.0] * len(events),
    }  # fmt: skip


def catalogue(size: int) -> Catalogue:
    ones = np.full(size, 10.0)
    return Catalogue(pa.array([f"p{code:02d}" for code in range(size)]), ones, ones > 0, ones, ones)


def test_ranks_share_the_users_and_see_nothing_after_as_of(tmp_path: Path) -> None:
    rows = [
        week("ann", 4, MONDAY + timedelta(days=7), ("p02", "purchase", 0), ("p01", "purchase", 6)),
        week("ann", 4, MONDAY, ("p00", "view", 1), ("p01", "impression", 2), ("p01", "purchase", 3)),
        week("bob", 7, MONDAY, ("p03", "purchase", 0)),
        week("bob", 7, MONDAY + timedelta(days=14), ("p00", "purchase", 0)),
    ]
    write_deltalake(str(tmp_path / "gold" / "interactions"), pa.Table.from_pylist(rows))
    as_of = number(MONDAY + timedelta(days=7))

    def share(rank: int, size: int) -> Histories:
        return read(str(tmp_path), 0, rank, size, as_of, catalogue(4), ["purchase"], TYPES)

    ann = share(0, 2)
    assert ann.items.tolist() == [0, 1, 2]
    assert ann.wanted.tolist() == [False, True, True]
    assert (as_of - ann.days).tolist() == [6, 4, 0]
    assert share(1, 2).items.tolist() == [3]
    assert len(share(0, 1)) == 2
    assert len(share(0, 3).items) == 0


def test_label_windows_need_as_long_a_history_before_them() -> None:
    as_of = date(2024, 6, 30)
    assert label_origins(date(2024, 1, 1), as_of, 4, 2, 4) == [date(2024, 5, 5), date(2024, 6, 2)]
    assert label_origins(date(2024, 1, 1), as_of, 4, 3, 2) == [date(2024, 5, 5), date(2024, 5, 19), date(2024, 6, 2)]
    assert label_origins(date(2024, 5, 6), as_of, 4, 2, 4) == [date(2024, 6, 2)]
    assert label_origins(date(2024, 6, 1), as_of, 4, 2, 4) == []


def shoppers(users: int = 60, weeks: int = 30) -> Histories:
    """Each user buys one of two ranges of 20 products, each product once, and its own staple every other week."""
    rng = np.random.default_rng(0)
    items, days, sizes = [], [], []
    for user in range(users):
        range_of = rng.permutation(20) + 20 * (user % 2)
        bought = [(7 * w, range_of[w]) for w in range(min(weeks, 16))]
        bought += [(7 * w + 3, 40 + user % 10) for w in range(0, weeks, 2)]
        bought.sort()
        days += [day for day, _ in bought]
        items += [item for _, item in bought]
        sizes.append(len(bought))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    times = np.array(days, np.int64)
    return Histories(offsets, np.array(items, np.int32), times.astype(np.int32), times, np.ones(len(items), bool))


def job(tmp_path: Path, histories: Histories, as_of: int, origins: list[int], **options: Any) -> Job:
    settings = load().settings.recommender.model_copy(update={**SMALL, **options})
    payload = {
        "uri": str(tmp_path / "model"), "logs": str(tmp_path / "logs"), "origins": origins, "as_of": as_of,
        "wanted": ["purchase"], "seed": 1, "label_days": 28,
    }  # fmt: skip
    size = sizes(settings, len(histories), 50, len(histories.items))
    shop = [catalogue(50)] * (len(origins) + 1)
    return Job(payload, Collective(), settings, size, histories, histories, shop)


def test_the_model_learns_what_users_buy_again_and_what_goes_with_what(tmp_path: Path) -> None:
    everything, as_of = shoppers(), 7 * 14
    trained = job(tmp_path, everything.between(-1, as_of), as_of, [as_of - 56, as_of - 28])
    taught = trained.learn_to_rank()
    assert [1 <= chosen <= 6 for chosen in taught.epochs] == [True]
    assert len(taught.values[0]) >= 1
    assert taught.ranker is not None
    model = trained.finished(taught)
    popular = np.repeat(np.arange(10, dtype=np.int32)[None], 60, 0)
    lists = model.recommend(everything.between(-1, as_of), trained.shop[-1], as_of, popular, 5)
    values_then = ranking.ndcg(lists.items, everything.between(as_of, as_of + 28), 5)
    assert np.nanmean(values_then) > 0.6  # the staple (1 of 3) first, then the rest of the user's own range
    staple = 40 + np.arange(60) % 10
    assert (lists.items[:, :2] == staple[:, None]).any(1).mean() > 0.9


def test_what_lies_after_as_of_changes_no_weight(tmp_path: Path) -> None:
    everything, as_of = shoppers(20), 7 * 14
    found = []
    for name, histories in (("seen", everything.between(-1, as_of)), ("planted", everything)):
        trained = job(tmp_path / name, histories, as_of, [as_of - 28], epochs=1)
        model = trained.finished(trained.learn_to_rank())
        parts = [model.ranker, model.sequence, model.neighbours, model.regression, model.peers]
        assert None not in parts
        found.append([value for part in parts if part is not None for value in part.arrays().values()])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_a_restarted_run_goes_on_with_what_it_had(tmp_path: Path) -> None:
    histories, as_of = shoppers(20), 7 * 14
    first = job(tmp_path, histories, as_of, [as_of - 28], epochs=1).learn_to_rank()
    again = job(tmp_path, histories, as_of, [as_of - 28], epochs=5).learn_to_rank()
    assert (again.epochs, again.values) == (first.epochs, first.values)
    assert first.ranker is not None
    assert again.ranker is not None
    own, kept = first.ranker.get_weights(), again.ranker.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(own, kept, strict=True))


def test_a_log_of_one_user_still_gives_a_model(tmp_path: Path) -> None:
    alone = shoppers(1, 2)
    trained = job(tmp_path, alone, 20, [], epochs=1)
    taught = trained.learn_to_rank()
    assert taught.ranker is None
    model = trained.finished(taught)
    lists = model.recommend(alone, trained.shop[-1], 20, np.arange(10, dtype=np.int32)[None], 5)
    assert len(set(lists.items[0].tolist())) == 5
