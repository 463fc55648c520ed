"""What must hold before gold/recommendations is written: whole lists of products that each user may be offered.

It is checked in Spark against silver and gold, not with the arrays that the lists were made from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from shelfcast.errors import ReconciliationError
from shelfcast.lake import catalogue as shop
from shelfcast.lake.step import Step
from shelfcast.score.rules import MARKS
from shelfcast.settings import Exclusion

_SHORT_USERS = 100  # short lists that are gone through product by product


@dataclass(frozen=True)
class Ban:
    """Pairs of user and product that no list may hold: those whose values of ``on`` are in ``held``."""

    said: str
    on: tuple[str, ...]
    held: DataFrame


@dataclass(frozen=True)
class Books:
    """What lists are checked against.

    Attributes:
        step: its settings and tables.
        as_of: the day.
        users: user_id, store_id and flags of those who should have a list.
        products: ``rules.products``.
        absent: ``catalogue.absent_by_store``; None where no store lacks anything.
        wanted: event types that stand for buying.
        k: length of a list.
    """

    step: Step
    as_of: date
    users: DataFrame
    products: DataFrame
    absent: DataFrame | None
    wanted: Sequence[str]
    k: int

    def check(self, ranked: DataFrame) -> dict[str, int]:
        """Check that every user, and no other, has ranks 1..n of distinct products, none of which any rule bars.

        n is K, or the number of products that the user may be offered: told from the number on sale where the rules
        are the same for all, else by going through some of the short lists.

        Returns:
            users, rows, short_lists (users with fewer than K products) and rows by reason.

        Raises:
            ReconciliationError: naming a user and a product; nothing has been written then.
        """
        lists = ranked.groupBy("user_id").agg(
            F.count("*").alias("rows"),
            F.countDistinct("product_id").alias("products"),
            F.sort_array(F.collect_list("rank")).alias("ranks"),
        )
        count, offered = self.users.count(), self.products.where("on_sale").count()
        self._check_lengths(lists, min(self.k, offered))
        stale = ranked.join(self.products.where("on_sale"), "product_id", "left_anti").head()
        if stale is not None:
            raise self._fault(f"product {stale['product_id']} is not on sale, or excluded")
        bans = list(self._bans())
        pairs = self._pairs(ranked.select("user_id", "product_id"))
        if any(rule.only_for or rule.hidden_from for rule in self.step.settings.lists.rules().values()):
            self._check_hidden(pairs)
        for ban in bans:
            wrong = pairs.join(ban.held, list(ban.on), "left_semi").head()
            if wrong is not None:
                raise self._fault(f"user {wrong['user_id']} is offered product {wrong['product_id']}, which {ban.said}")
        self._check_caps(pairs)
        short = self.users.join(lists.where(F.col("rows") >= self.k), "user_id", "left_anti").select("user_id")
        few = short.count()
        if few and self._personal():
            self._check_short(short.limit(_SHORT_USERS), pairs, bans)
        reasons = {row["reason"]: int(row["count"]) for row in ranked.groupBy("reason").count().collect()}
        return {
            "users": count,
            "rows": sum(reasons.values()),
            "short_lists": few,
            **{f"reason_{name}": n for name, n in sorted(reasons.items())},
        }

    def _personal(self) -> bool:
        """Whether users may be offered different products, or fewer than are on sale."""
        lists = self.step.settings.lists
        general = all(_for_all(rule) for rule in lists.rules().values())
        return not general or lists.mode == "novel" or bool(lists.caps) or self.absent is not None

    def _check_lengths(self, lists: DataFrame, whole: int) -> None:
        sound = (F.col("products") == F.col("rows")) & (
            F.col("ranks") == F.sequence(F.lit(1), F.col("rows").cast("int"))
        )
        enough = F.col("rows") <= whole if self._personal() else F.col("rows") == whole
        wrong = lists.where(~(sound & enough)).head()
        if wrong is not None:
            raise self._fault(
                f"user {wrong['user_id']} has {wrong['rows']} rows with {wrong['products']} distinct products, "
                f"expected ranks 1 to {whole} of distinct products"
            )
        stranger = lists.join(self.users, "user_id", "left_anti").head()
        if stranger is not None:
            raise self._fault(f"user {stranger['user_id']} has a list, but is not known or wants none")
        if whole and not self._personal():
            astray = self.users.join(lists, "user_id", "left_anti").head()
            if astray is not None:
                raise self._fault(f"user {astray['user_id']} has no list")

    def _pairs(self, pairs: DataFrame) -> DataFrame:
        """Pairs of user_id and product_id with what bans and caps are told by."""
        return pairs.join(self.users, "user_id").join(self._traits(), "product_id")

    def _traits(self) -> DataFrame:
        """Products with their marks, attributes, and for each exclusion that waits what they are like."""
        waits = [_alike(place, rule).alias(f"_like_{place}") for place, rule in self._waits()]
        names = [f"_{name}" for name in self.step.settings.lists.attributes()]
        return self.products.select("product_id", MARKS, "on_sale", *names, *waits)

    def _waits(self) -> Iterator[tuple[int, Exclusion]]:
        for place, rule in enumerate(self.step.settings.lists.rules().values()):
            if rule.bought_within_days is not None:
                yield place, rule

    def _bans(self) -> Iterator[Ban]:
        lists = self.step.settings.lists
        if self.absent is not None:
            yield Ban("the user's store has not", ("store_id", "product_id"), self.absent)
        bought = self._bought()
        if lists.mode == "novel":
            yield Ban("the user bought before", ("user_id", "product_id"), bought.select("user_id", "product_id"))
        for place, rule in self._waits():
            after = F.lit(self.as_of - timedelta(days=rule.bought_within_days or 0))
            late = bought.where(F.col("event_date") > after).join(self._traits(), "product_id")
            said = f"the user bought, or one like it, in the last {rule.bought_within_days} days"
            yield Ban(said, ("user_id", f"_like_{place}"), late.select("user_id", f"_like_{place}"))

    def _bought(self) -> DataFrame:
        interactions = self.step.read("gold/interactions")
        return shop.events(interactions, self.as_of, self.wanted).select("user_id", "product_id", "event_date")

    def _check_hidden(self, pairs: DataFrame) -> None:
        wrong = pairs.where(_hiding() != 0).select("user_id", "product_id", _hiding().alias("bits")).head()
        if wrong is not None:
            place = (wrong["bits"] & -wrong["bits"]).bit_length() - 1
            name = list(self.step.settings.lists.rules())[place]
            raise self._fault(
                f"user {wrong['user_id']} is offered product {wrong['product_id']}, which lists.exclusions.{name} hides"
            )

    def _check_caps(self, pairs: DataFrame) -> None:
        for name, most in self.step.settings.lists.caps.items():
            values = pairs.where(F.col(f"_{name}").isNotNull()).groupBy("user_id", f"_{name}").count()
            wrong = values.where(F.col("count") > most).head()
            if wrong is not None:
                raise self._fault(
                    f"user {wrong['user_id']} is offered {wrong['count']} products of {name} {wrong[f'_{name}']}, "
                    f"lists.caps.{name} is {most}"
                )

    def _check_short(self, short: DataFrame, pairs: DataFrame, bans: Sequence[Ban]) -> None:
        """Check that short lists hold everything that the rules let the user be offered, or that caps keep out."""
        known = pairs.join(F.broadcast(short), "user_id", "left_semi")
        free = self._pairs(short.crossJoin(self.products.where("on_sale").select("product_id")))
        free = free.where(_hiding() == 0).join(known, ["user_id", "product_id"], "left_anti")
        free = reduce(lambda left, ban: left.join(ban.held, list(ban.on), "left_anti"), bans, free)
        for name, most in self.step.settings.lists.caps.items():
            full = known.groupBy("user_id", f"_{name}").count().where(F.col("count") >= most)
            free = free.join(full, ["user_id", f"_{name}"], "left_anti")
        wrong = free.head()
        if wrong is not None:
            raise self._fault(
                f"the list of user {wrong['user_id']} is short, though product {wrong['product_id']} may be offered"
            )

    def _fault(self, said: str) -> ReconciliationError:
        return ReconciliationError(
            f"gold/recommendations of {self.as_of}: {said}; nothing was written, please report this"
        )


def _hiding() -> Column:
    """Bits of the exclusions that hide the product of a pair from its user."""
    return F.col("flags").bitwiseAND(F.col(MARKS))


def _for_all(rule: Exclusion) -> bool:
    return not rule.only_for and not rule.hidden_from and rule.bought_within_days is None


def _alike(place: int, rule: Exclusion) -> Column:
    """What products of an exclusion have in common: the attribute's value, or the product; null for all others."""
    own = F.concat(F.lit("product "), "product_id")
    value = own if rule.same == "product" else F.coalesce(F.concat(F.lit("value "), f"_{rule.same}"), own)
    return F.when(F.col(MARKS).bitwiseAND(F.lit(1 << place).cast("long")) != 0, value)
