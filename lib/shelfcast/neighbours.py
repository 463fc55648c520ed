"""``shelfcast show neighbours``: the products nearest to one in the published recommender's item vectors."""

from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shelfcast.errors import ConfigError, TableMissing
from shelfcast.lake import overview
from shelfcast.lake.snapshot import Snapshot
from shelfcast.models import folder, item_features
from shelfcast.models.catalogue import Catalogue

if TYPE_CHECKING:
    from shelfcast.models.recommending import Recommender

_DESCRIBED = ("department", "category", "product_type", "brand")
_SAID = (*_DESCRIBED, "manufacturer", "description")


def neighbours(lake: str, product_id: str, most: int, as_of: date | None = None) -> dict[str, Any]:
    """Products by the cosine of their vectors with that of ``product_id``, nearest first, at most ``most``.

    Who takes one of them tends to take the other next, or products that both lead to. A product without a history lies
    where what silver/products says of it puts it.

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
    if model.sequence is None:
        raise ConfigError(f"model {version} has no vectors: too few users or products were in the log by {day}")
    table, _ = model.sequence.scoring()
    place = pc.index(model.vocabulary, product_id).as_py()
    own = table[place] if place >= 0 else _newcomer(lake, model, product_id)
    if own is None:
        raise ConfigError(
            f"model {version} has no vector for product {product_id}: fewer events than recommender.min_item_events "
            f"had touched it by {day}, and silver/products says nothing of it that it has in common with others"
        )
    similar = _unit(table) @ _unit(own)
    similar[place if place >= 0 else []] = -np.inf
    order = np.argsort(-similar, kind="stable")[: min(most, len(similar) - (place >= 0))]
    described = _described(lake, [product_id, *(model.vocabulary[int(item)].as_py() for item in order)])
    nearest = [
        {"product_id": one["product_id"], "similarity": float(similar[item]), **one}
        for one, item in zip(described[1:], order, strict=True)
    ]
    return {"lake": lake, "as_of": day, "model_version": version, **described[0], "neighbours": nearest}


def _newcomer(lake: str, model: "Recommender", product_id: str) -> NDArray[Any] | None:
    """[d] vector of a product without a history, by what silver/products says of it; None where that says nothing."""
    said = [name for name in model.config["item_features"] if name in _SAID]
    rows = _rows(lake, [product_id], said) if said and len(model.said) else []
    if not rows or model.sequence is None:
        return None
    texts = {name: pa.array([rows[0].get(name)], pa.string()) for name in said}
    none = {name: [0.0] for name in ("events", "popularity", "recent")}
    alone = Catalogue.from_table(pa.table({"product_id": [product_id], "on_sale": [False], **none, **texts}))
    found, _ = model.sequence.newcomers(item_features.columns(alone, said, model.said))
    return None if np.isnan(found).any() else found[0]


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def _rows(lake: str, products: list[str], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of silver/products, with those of the columns that the stored table has; none where there is no table."""
    if not Snapshot.exists(lake, "silver/products"):
        return []
    sides = Snapshot(lake, "silver/products")
    there = [name for name in columns if name in sides.column_names()]
    rows: list[dict[str, Any]] = sides.arrow(["product_id", *there], pc.field("product_id").isin(products)).to_pylist()
    return rows


def _described(lake: str, products: list[str]) -> list[dict[str, Any]]:
    """What is known of each product, in that order."""
    if not Snapshot.exists(lake, "silver/products"):
        return [{"product_id": product} for product in products]
    known = {row["product_id"]: row for row in _rows(lake, products, _DESCRIBED)}
    return [known.get(product, {"product_id": product, **dict.fromkeys(_DESCRIBED)}) for product in products]
