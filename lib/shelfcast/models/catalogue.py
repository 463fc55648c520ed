"""The products of a shop on one day, as arrays. It grows with the catalogue, never with the log."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from shelfcast.errors import ContractError

_OWN = ("product_id", "events", "on_sale", "popularity", "recent")


@dataclass(frozen=True)
class Catalogue:
    """Every product that anyone touched up to a day; a product's code is its place.

    Attributes:
        products: [products] string ids, sorted.
        events: [products] visible events of all kinds that count.
        on_sale: [products] bool.
        popularity: [products] sales (or what stands for them) in the weeks that decide what is on sale.
        recent: [products] the same in the newest two of these weeks.
        traits: name → [products] float32, what else a ranker is told of a product.
        groups: name → [products] texts, products of one text are of one kind; null where nobody says.
    """

    products: pa.Array
    events: NDArray[Any]
    on_sale: NDArray[Any]
    popularity: NDArray[Any]
    recent: NDArray[Any]
    traits: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    groups: Mapping[str, pa.DictionaryArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.products)

    @classmethod
    def from_table(cls, table: pa.Table) -> "Catalogue":
        """
        Raises:
            ContractError: naming a product that has two rows.
        """
        table = table.sort_by("product_id")
        products = table["product_id"].cast(pa.string()).combine_chunks()
        if isinstance(products, pa.ChunkedArray):  # what an empty table gives
            products = pa.array([], pa.string())
        others = sorted(set(table.column_names) - set(_OWN))
        again = pc.equal(products[1:], products[:-1])
        if pc.any(again).as_py():
            raise ContractError(
                f"catalogue: product {products[pc.index(again, True).as_py()]} has two rows, expected one a product; "
                "lists would hold it twice, so nothing is made of it: please report this"
            )
        return cls(
            products,
            table["events"].to_numpy().astype(np.float64),
            table["on_sale"].to_numpy().astype(bool),
            table["popularity"].to_numpy().astype(np.float64),
            table["recent"].to_numpy().astype(np.float64),
            {name: table[name].to_numpy().astype(np.float32) for name in others if not _is_group(table, name)},
            {name: _encoded(table[name]) for name in others if _is_group(table, name)},
        )

    def on(self, products: pa.Array) -> "Catalogue":
        """The same with the codes of ``products``; what is not known here has no events and is not on sale."""
        places = codes_in(self.products, products)
        known = places >= 0

        there = pa.array(places, mask=~known)

        def moved(values: NDArray[Any]) -> NDArray[Any]:
            return np.where(known, values[places], 0).astype(values.dtype) if len(values) else np.zeros(len(places))

        return Catalogue(
            products, moved(self.events), moved(self.on_sale).astype(bool), moved(self.popularity), moved(self.recent),
            {name: moved(values) for name, values in self.traits.items()},
            {name: values.take(there) for name, values in self.groups.items()},
        )  # fmt: skip

    def with_traits(self, names: Sequence[str], groups: Sequence[str] = ()) -> "Catalogue":
        """The same with exactly these traits and groups, in this order; one that is unknown is 0, or null, for all."""
        none, nothing = np.zeros(len(self), np.float32), pa.nulls(len(self), pa.string()).dictionary_encode()
        traits = {name: self.traits.get(name, none) for name in names}
        return replace(self, traits=traits, groups={name: self.groups.get(name, nothing) for name in groups})

    @cached_property
    def kinds(self) -> list[NDArray[Any]]:
        """Of each group [products] int32: products of one number are of one kind; -1 where nobody says."""
        return [numbers(values) for values in self.groups.values()]

    @cached_property
    def columns(self) -> NDArray[Any]:
        """[products, 2 + traits] float32: log popularity, its trend, traits; a row lies together."""
        trend = np.log((self.recent + 0.25) / (self.popularity + 1))
        columns = [np.log1p(self.popularity), trend, *self.traits.values()]
        return np.stack([np.asarray(column, np.float32) for column in columns], 1)

    def to_bytes(self) -> bytes:
        """The catalogue as a Parquet file."""
        columns = [
            self.products, self.events, self.on_sale, self.popularity, self.recent, *self.traits.values(),
            *(values.cast(pa.string()) for values in self.groups.values()),
        ]  # fmt: skip
        sink = io.BytesIO()
        pq.write_table(
            pa.table(
                [c if isinstance(c, pa.Array) else pa.array(c) for c in columns],
                names=[*_OWN, *self.traits, *self.groups],
            ),
            sink,
        )
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Catalogue":
        return cls.from_table(pq.read_table(io.BytesIO(data)))

    def codes(self, products: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
        """[n] int32 codes of product ids, -1 for unknown ones."""
        return codes_in(self.products, products)

    def ids(self, codes: NDArray[Any]) -> NDArray[Any]:
        """[n] product ids (objects) of codes."""
        return np.asarray(self.products.take(pa.array(codes)).to_numpy(zero_copy_only=False), object)

    def best_sellers(self, most: int) -> NDArray[Any]:
        """Codes of what is on sale, most popular first, then by code; at most ``most``."""
        offered = np.flatnonzero(self.on_sale)
        return offered[np.argsort(-self.popularity[offered], kind="stable")][:most].astype(np.int32)


def codes_in(known: pa.Array, wanted: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """[n] int32 places of ``wanted`` strings among ``known`` ones, -1 where there is none."""
    found = pc.fill_null(pc.index_in(wanted, value_set=known), -1)
    return np.asarray(found.to_numpy() if isinstance(found, pa.ChunkedArray) else found.to_numpy(zero_copy_only=False))


def numbers(values: pa.DictionaryArray) -> NDArray[Any]:
    """[n] int32 places in the dictionary, -1 for nulls."""
    return np.asarray(pc.fill_null(values.indices, -1).to_numpy(zero_copy_only=False), np.int32)


def _is_group(table: pa.Table, name: str) -> bool:
    kind = table.schema.field(name).type
    return bool(pa.types.is_string(kind) or pa.types.is_dictionary(kind))


def _encoded(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """[products] texts, as one dictionary and the places in it."""
    found = column.cast(pa.string()).combine_chunks().dictionary_encode()
    return found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
