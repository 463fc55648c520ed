"""Rules of a shop for users' lists, as arrays: which products a user may be offered, and how many of a kind.

A product has a bit for each exclusion that speaks of it, a user one for each that applies to the user: where both have
the same bit the product is hidden. Users with the same bits see the same products, so for these rules one mask over the
catalogue does for many users. What depends on the user's store or purchases is a list of pairs of user and product.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shelfcast.models.histories import Histories, runs


@dataclass(frozen=True)
class Pairs:
    """Distinct pairs of a user's row and a product's catalogue code.

    Attributes:
        keys: [pairs] int64, row × products + code, ascending.
        products: size of the catalogue.
    """

    keys: NDArray[Any]
    products: int

    @classmethod
    def of(cls, rows: NDArray[Any], codes: NDArray[Any], products: int) -> "Pairs":
        return cls(np.unique(rows.astype(np.int64) * products + codes), products)

    @classmethod
    def none(cls, products: int) -> "Pairs":
        return cls(np.zeros(0, np.int64), products)

    def __or__(self, other: "Pairs") -> "Pairs":
        return Pairs(np.union1d(self.keys, other.keys), self.products) if len(other.keys) else self

    def split(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """[pairs] rows, ascending, and [pairs] codes."""
        rows, codes = np.divmod(self.keys, max(self.products, 1))
        return rows, codes

    def hold(self, rows: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
        """Whether each pair is among these; the arguments are broadcast."""
        wanted = rows.astype(np.int64) * self.products + codes
        if not len(self.keys):
            return np.zeros(wanted.shape, bool)
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.asarray(self.keys[place] == wanted)


@dataclass(frozen=True)
class Wait:
    """Products that are not offered again for a while to those who bought them, or one like them.

    Attributes:
        products: [products] bool.
        groups: [products] int64; products of one number are alike.
        days: a purchase more than ``days`` before the end of as_of counts no more.
    """

    products: NDArray[Any]
    groups: NDArray[Any]
    days: int

    def barred(self, rows: NDArray[Any], codes: NDArray[Any], days: NDArray[Any], day: int) -> Pairs:
        """Pairs of users and products, for purchases (row, code, day) known at the end of ``day``."""
        late = (days > day - self.days) & self.products[codes]
        members = np.flatnonzero(self.products)
        members = members[np.argsort(self.groups[members], kind="stable")]
        bought = Pairs.of(rows[late], self.groups[codes[late]], int(self.groups.max(initial=0)) + 1)
        users, groups = bought.split()
        first, end = (np.searchsorted(self.groups[members], groups, side) for side in ("left", "right"))
        _, places = runs(first, end - first)
        return Pairs.of(np.repeat(users, end - first), members[places], len(self.products))


@dataclass(frozen=True)
class Cap:
    """At most ``most`` products of one group in a list; ``groups`` is [products] int, -1 where none is counted."""

    groups: NDArray[Any]
    most: int


@dataclass(frozen=True)
class ShopRules:
    """What holds for all users: it grows with the catalogue and with the stores, not with the log.

    Attributes:
        flags: [products] int64, the bits of exclusions that speak of the product and hide it from some users.
        novel_only: whether only products that the user never bought are offered.
        repeats: how many products of a list should be bought before, the others new; None: as they score.
        waits, caps: see there.
        absent: store → sorted codes of products that are out of stock there.
    """

    flags: NDArray[Any]
    novel_only: bool = False
    repeats: int | None = None
    waits: tuple[Wait, ...] = ()
    caps: tuple[Cap, ...] = ()
    absent: Mapping[str, NDArray[Any]] | None = None


@dataclass(frozen=True)
class Rules:
    """The rules as they bear on some users.

    Attributes:
        shop: what holds for all.
        flags: [users] int64, the bits of exclusions that apply to the user.
        stores: [users] strings, "" where none is known.
        earlier: purchases before the events that the users' histories begin with.
    """

    shop: ShopRules
    flags: NDArray[Any]
    stores: NDArray[Any]
    earlier: Histories

    @classmethod
    def none(cls, users: int, products: int) -> "Rules":
        """No rule at all."""
        flags = np.zeros(users, np.int64)
        return cls(ShopRules(np.zeros(products, np.int64)), flags, np.full(users, "", object), Histories.empty(users))

    def users(self, rows: NDArray[Any]) -> "Rules":
        """Only the users ``rows``, in that order."""
        return Rules(self.shop, self.flags[rows], self.stores[rows], self.earlier.users(rows))

    def alike(self) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Rows of users with the same bits, and [products] bool, what is hidden from them."""
        bits = self.flags & np.bitwise_or.reduce(self.shop.flags, initial=np.int64(0))
        for same in np.unique(bits):
            yield np.flatnonzero(bits == same), (self.shop.flags & same) != 0


@dataclass(frozen=True)
class Allowed:
    """What the lists of some users may hold.

    Attributes:
        rules: of these users.
        histories: of these users, nothing after ``day``.
        offered: [products] bool, what is on sale and not hidden from any of them.
        day: days since 1970-01-01.
        newest: of each user's events, how many the candidates were made from.
    """

    rules: Rules
    histories: Histories
    offered: NDArray[Any]
    day: int
    newest: int

    @cached_property
    def earlier(self) -> Pairs:
        """What the users bought before the events that candidates were made from."""
        older = self.histories.older(self.newest)
        return self._pairs(older.keep(older.wanted)) | self._pairs(self.rules.earlier)

    @cached_property
    def bought(self) -> Pairs:
        """What the users ever bought."""
        return self._pairs(self._purchases) | self._pairs(self.rules.earlier)

    @cached_property
    def _purchases(self) -> Histories:
        return self.histories.keep(self.histories.wanted)

    def _pairs(self, events: Histories) -> Pairs:
        return Pairs.of(events.rows(), events.items, len(self.offered))

    @cached_property
    def barred(self) -> Pairs:
        """Products that are offered to others, but not to these users: out of stock in their store, or bought."""
        shop, products = self.rules.shop, len(self.offered)
        found = _absent(self.rules.stores, shop.absent or {}, products)
        if shop.novel_only:
            found = found | self.bought
        for wait in shop.waits:
            for events in (self._purchases, self.rules.earlier):
                found = found | wait.barred(events.rows(), events.items, events.days, self.day)
        return found

    def open(self, rows: NDArray[Any], codes: NDArray[Any]) -> NDArray[Any]:
        """Whether each pair may be listed; -1 may not. The arguments are broadcast."""
        return np.asarray((codes >= 0) & self.offered[codes] & ~self.barred.hold(rows, codes))


def _absent(stores: NDArray[Any], absent: Mapping[str, NDArray[Any]], products: int) -> Pairs:
    """What is out of stock in the store of each user."""
    names, store = np.unique(stores.astype(str), return_inverse=True)
    lists = [absent.get(name, np.zeros(0, np.int64)) for name in names.tolist()]
    sizes = np.array([len(codes) for codes in lists], np.int64)
    if not sizes.sum():
        return Pairs.none(products)
    _, places = runs((np.cumsum(sizes) - sizes)[store], sizes[store])
    codes = np.concatenate(lists)[places]
    return Pairs(np.repeat(np.arange(len(stores)), sizes[store]) * np.int64(products) + codes, products)
