"""What a product is called on the page."""

from collections.abc import Collection
from dataclasses import dataclass

from shelfcast.report.reader import Reader, among


@dataclass(frozen=True)
class Product:
    """A product in words: ``name`` falls back to the id, ``detail`` may be empty."""

    product_id: str
    name: str
    detail: str


def products(reader: Reader, ids: Collection[str]) -> dict[str, Product]:
    """The named products of ``ids``; an id without a row in silver/products is its own name."""
    words = ("product_type", "category", "department", "brand", "size")
    rows = reader.rows("silver/products", ["product_id", *words], among("product_id", sorted(ids)))
    found = {row["product_id"]: row for row in rows.to_pylist()}
    return {id_: _product(id_, found.get(id_, {})) for id_ in ids}


def _product(product_id: str, row: dict[str, str | None]) -> Product:
    name = next((row[key] for key in ("product_type", "category", "department") if row.get(key)), None)
    detail = " · ".join(_sentence(text) for key in ("brand", "size") if (text := row.get(key)))
    return Product(product_id, _sentence(name) if name else f"Product {product_id}", detail)


def _sentence(text: str) -> str:
    """Shouted names, as registers print them, in sentence case; others as they are."""
    clean = " ".join(text.split())
    return clean.capitalize() if clean.isupper() else clean
