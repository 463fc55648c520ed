"""``shelfcast show neighbours``: the products nearest to one in the published recommender's item vectors."""

from datetime import date
from typing import Any

import numpy as np
import pyarrow.compute as pc

from shelfcast.errors import ConfigError, TableMissing
from shelfcast.lake import overview
from shelfcast.lake.snapshot import Snapshot
from shelfcast.models import folder

_DESCRIBED = ("department", "category", "product_type", "brand")


def neighbours(lake: str, product_id: str, most: int, as_of: date | None = None) -> dict[str, Any]:
    """Products by the cosine of their vectors with that of ``product_id``, nearest first, at most ``most``.

    Who takes one of them tends to take the other next, or products that both lead to.

    Args:
        as_of: of the recommendations whose model is asked; the newest published ones if None.

    Returns:
        lake, as_of, model_version, product_id and ``neighbours``: product_id, similarity, and how silver/products
        describes it, where it exists.

    Raises:
        TableMissing: if nothing is published.
        ConfigError: if the model has no vector for the product, with what it would need.
        ModelError: if the model is missing or damaged.
    """
    snapshot, day = overview.published(lake, "gold/recommendations", as_of)
    if day is None:
        raise TableMissing(f"nothing is published in {lake}: run `shelfcast weekly` or `shelfcast score` first")
    found = snapshot.dataset().head(1, columns=["model_version"], filter=pc.field("as_of") == day)
    if not len(found):
        raise TableMissing(f"gold/recommendations as of {day} has no rows: score users first")
    version = found["model_version"][0].as_py()
    from shelfcast.models.recommending import Recommender

    model = Recommender.load(folder.model_uri(lake, "recommender", version))
    place = pc.index(model.vocabulary, product_id).as_py()
    if model.sequence is None or place < 0:
        raise ConfigError(
            f"model {version} has no vector for product {product_id}: either it is not in the log, or fewer events "
            f"than recommender.min_item_events had touched it by {day}"
        )
    vectors, _ = model.sequence.scoring()
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    similar = vectors @ vectors[place]
    similar[place] = -np.inf
    order = np.argsort(-similar, kind="stable")[: min(most, len(similar) - 1)]
    described = _described(lake, [model.vocabulary[int(item)].as_py() for item in [place, *order]])
    nearest = [
        {"product_id": one["product_id"], "similarity": float(similar[item]), **one}
        for one, item in zip(described[1:], order, strict=True)
    ]
    return {"lake": lake, "as_of": day, "model_version": version, **described[0], "neighbours": nearest}


def _described(lake: str, products: list[str]) -> list[dict[str, Any]]:
    """What is known of each product, in that order."""
    if not Snapshot.exists(lake, "silver/products"):
        return [{"product_id": product} for product in products]
    columns = ["product_id", *_DESCRIBED]
    rows = Snapshot(lake, "silver/products").arrow(columns, pc.field("product_id").isin(products)).to_pylist()
    known = {row["product_id"]: row for row in rows}
    return [known.get(product, {"product_id": product, **dict.fromkeys(_DESCRIBED)}) for product in products]
