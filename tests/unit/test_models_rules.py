"""Whatever a shop rules, lists hold distinct products that the user may be offered, and as many as there are."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from shelfcast.models.catalogue import Catalogue
from shelfcast.models.histories import Histories
from shelfcast.models.ranking import REASONS
from shelfcast.models.recommending import Recommender
from shelfcast.models.rules import Cap, Pairs, Rules, ShopRules, Wait

DAY = 100
CONFIG = {"half_lives": [2.0, 16.0], "traits": [], "groups": [], "candidates": 4, "history": 3, "max_length": 4}
Event = tuple[int, int, bool]  # product, day, whether it was bought


def histories(users: list[list[Event]]) -> Histories:
    events = [event for user in users for event in sorted(user, key=lambda e: e[1])]
    items, days, wanted = (np.array([e[n] for e in events]) for n in range(3))
    offsets = np.concatenate([[0], np.cumsum([len(user) for user in users])]).astype(np.int64)
    return Histories(offsets, items.astype(np.int32), days.astype(np.int32), days.astype(np.int64), wanted.astype(bool))


def catalogue(on_sale: list[bool]) -> Catalogue:
    size = len(on_sale)
    sold = np.arange(size, 0, -1).astype(float)
    products = pa.array([f"p{code:02d}" for code in range(size)], pa.string())
    return Catalogue(products, sold, np.array(on_sale, bool), sold, sold)


@dataclass(frozen=True)
class Case:
    """A shop, its rules and its users."""

    on_sale: list[bool]
    users: list[list[Event]]
    earlier: list[list[Event]]
    rules: Rules
    k: int

    def bought(self, user: int) -> dict[int, int]:
        """Product → newest day it was bought on."""
        events = [e for e in self.users[user] if e[2]] + self.earlier[user]
        return {code: max(e[1] for e in events if e[0] == code) for code, _, _ in events}

    def eligible(self, user: int) -> set[int]:
        """What the user may be offered, product by product."""
        shop, bought = self.rules.shop, self.bought(user)
        found = set()
        for code, sold in enumerate(self.on_sale):
            hidden = int(shop.flags[code]) & int(self.rules.flags[user])
            absent = code in (shop.absent or {}).get(self.rules.stores[user], np.zeros(0)).tolist()
            waiting = any(
                wait.products[code] and wait.products[other] and wait.groups[code] == wait.groups[other]
                and day > DAY - wait.days
                for wait in shop.waits for other, day in bought.items()
            )  # fmt: skip
            if sold and not hidden and not absent and not waiting and not (shop.novel_only and code in bought):
                found.add(code)
        return found

    def lists(self) -> tuple[list[list[int]], list[list[str]], Any]:
        shop = catalogue(self.on_sale)
        model = Recommender(CONFIG, pa.array(["p00", "p01"]), None, None)
        popular = np.repeat(shop.best_sellers(self.k)[None], len(self.users), 0)
        found = model.recommend(histories(self.users), shop, DAY, popular, self.k, self.rules)
        items = [row[row >= 0].tolist() for row in found.items]
        assert all((row[len(own) :] == -1).all() for row, own in zip(found.items, items, strict=True))
        reasons = [REASONS[row[: len(own)]].tolist() for row, own in zip(found.reasons, items, strict=True)]
        return items, reasons, found.scores


@st.composite
def cases(draw: st.DrawFn, caps: int = 2) -> Case:
    size, count = draw(st.integers(1, 14)), draw(st.integers(1, 4))

    def each(values: st.SearchStrategy[Any]) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=size, max_size=size)))

    def happened(least: int, most: int, kinds: st.SearchStrategy[bool]) -> list[list[Event]]:
        event = st.tuples(st.integers(0, size - 1), st.integers(least, most), kinds)
        return draw(st.lists(st.lists(event, max_size=9), min_size=count, max_size=count))

    k = draw(st.integers(1, 8))
    mode = draw(st.sampled_from(["mixed", "novel", "counted"]))
    shop = ShopRules(
        each(st.integers(0, 3)).astype(np.int64),
        mode == "novel",
        draw(st.integers(0, k)) if mode == "counted" else None,
        tuple(
            Wait(each(st.booleans()).astype(bool), each(st.integers(0, 3)).astype(np.int64), draw(st.integers(1, 60)))
            for _ in range(draw(st.integers(0, 2)))
        ),
        tuple(Cap(each(st.integers(-1, 3)), draw(st.integers(1, 3))) for _ in range(draw(st.integers(0, caps)))),
        {"s1": np.flatnonzero(each(st.booleans()))},
    )  # fmt: skip
    users, earlier = happened(50, DAY, st.booleans()), happened(20, 50, st.just(True))
    flags = np.array(draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)), np.int64)
    stores = np.array(draw(st.lists(st.sampled_from(["s1", "s2", ""]), min_size=count, max_size=count)), object)
    on_sale = each(st.booleans()).astype(bool).tolist()
    return Case(on_sale, users, earlier, Rules(shop, flags, stores, histories(earlier)), k)


@given(cases())
def test_lists_hold_distinct_products_that_the_user_may_be_offered_within_the_caps(case: Case) -> None:
    items, reasons, scores = case.lists()
    for user, listed in enumerate(items):
        assert len(listed) == len(set(listed)) <= case.k
        assert set(listed) <= case.eligible(user)
        assert (np.diff(scores[user, : len(listed)]) <= 0).all()
        for cap in case.rules.shop.caps:
            assert all(n <= cap.most for group, n in Counter(cap.groups[listed].tolist()).items() if group >= 0)
        bought = case.bought(user)
        assert [reason == "repeat" for reason in reasons[user]] == [code in bought for code in listed]


@given(cases())
def test_a_list_is_short_only_where_no_product_could_be_added(case: Case) -> None:
    for user, listed in enumerate(case.lists()[0]):
        if len(listed) < case.k:
            for code in case.eligible(user) - set(listed):
                assert any(
                    cap.groups[code] >= 0 and (cap.groups[listed] == cap.groups[code]).sum() >= cap.most
                    for cap in case.rules.shop.caps
                )


@given(cases(caps=1))
def test_with_one_cap_a_list_is_as_long_as_any_that_obeys_it(case: Case) -> None:
    for user, listed in enumerate(case.lists()[0]):
        open_ = sorted(case.eligible(user))
        possible = len(open_)
        for cap in case.rules.shop.caps:
            groups = Counter(cap.groups[open_].tolist())
            possible = sum(n if group < 0 else min(n, cap.most) for group, n in groups.items())
        assert len(listed) == min(case.k, possible)


@given(cases(caps=0))
def test_counts_hold_wherever_there_are_enough_products_of_both_sorts(case: Case) -> None:
    repeats = case.rules.shop.repeats
    if repeats is None:
        return
    for user, reasons in enumerate(case.lists()[1]):
        open_, bought = case.eligible(user), case.bought(user)
        old, new = len(open_ & set(bought)), len(open_ - set(bought))
        taken_old, taken_new = min(old, repeats), min(new, case.k - repeats)
        filled = min(case.k, old + new) - taken_old - taken_new
        assert taken_old <= reasons.count("repeat") <= taken_old + filled
        first = reasons[: taken_old + taken_new]
        assert (first.count("repeat"), len(first)) == (taken_old, taken_old + taken_new)


def case(users: list[list[Event]], shop: ShopRules, k: int = 3, **changed: Any) -> Case:
    size, nothing = len(shop.flags), [[] for _ in users]
    flags = np.array(changed.get("flags", [0] * len(users)), np.int64)
    stores = np.array(changed.get("stores", [""] * len(users)), object)
    earlier = changed.get("earlier", nothing)
    return Case([True] * size, users, earlier, Rules(shop, flags, stores, histories(earlier)), k)


def test_repeat_only_begins_with_what_was_bought_and_fills_up_with_what_is_new() -> None:
    shop = ShopRules(np.zeros(6, np.int64), repeats=3)
    views = [(5, 99, False)]
    items, reasons, _ = case([[(4, 90, True), *views], [(n, 90, True) for n in (1, 3, 5)], []], shop).lists()
    assert items == [[4, 5, 0], [1, 3, 5], [0, 1, 2]]
    assert reasons == [["repeat", "novel", "popular"], ["repeat"] * 3, ["popular"] * 3]


def test_what_was_bought_before_the_newest_events_is_no_news() -> None:
    earlier = [[(0, 5, True)]]
    novel = case([[(1, 90, False)]], ShopRules(np.zeros(4, np.int64), novel_only=True), earlier=earlier).lists()
    assert novel[0] == [[1, 2, 3]]
    counted = case([[(1, 90, False)]], ShopRules(np.zeros(4, np.int64), repeats=1), earlier=earlier).lists()
    assert counted[0] == [[1, 2, 0]] or counted[0] == [[1, 0, 2]]
    assert sorted(counted[1][0]) == ["novel", "popular", "repeat"]


def test_durable_goods_come_back_when_the_wait_is_over() -> None:
    wait = Wait(np.array([True, True, True, False]), np.array([0, 0, 1, 0]), 30)
    shop = ShopRules(np.zeros(4, np.int64), waits=(wait,))
    users = [[(0, 71, True)], [(0, 70, True)], [(3, 99, True)], [(0, 99, False)]]
    assert [sorted(items) for items in case(users, shop, 4).lists()[0]] == [
        [2, 3], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3],
    ]  # fmt: skip


def test_a_product_out_of_stock_in_the_users_store_is_offered_elsewhere() -> None:
    shop = ShopRules(np.zeros(3, np.int64), absent={"s1": np.array([0, 2])})
    assert case([[], [], []], shop, stores=["s1", "s2", ""]).lists()[0] == [[1], [0, 1, 2], [0, 1, 2]]


def test_where_everything_is_hidden_from_a_user_the_others_lists_are_whole() -> None:
    shop = ShopRules(np.array([1, 1, 3], np.int64))
    assert case([[], [], []], shop, flags=[1, 0, 2]).lists()[0] == [[], [0, 1, 2], [0, 1]]


def test_an_empty_catalogue_gives_empty_lists() -> None:
    assert case([[], []], ShopRules(np.zeros(0, np.int64))).lists()[0] == [[], []]


def test_pairs_are_found_whatever_their_shape() -> None:
    pairs = Pairs.of(np.array([1, 0, 1]), np.array([2, 1, 2]), 3)
    assert [part.tolist() for part in pairs.split()] == [[0, 1], [1, 2]]
    assert pairs.hold(np.array([[0], [1]]), np.array([[1, 2], [2, 2]])).tolist() == [[True, False], [True, True]]
