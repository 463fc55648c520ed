"""Recommendations: a few users' lists beside what they then bought, and what the lists are made of."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow.compute as pc

from shelfcast.report.products import Product, products
from shelfcast.report.reader import Reader, among
from shelfcast.settings import Settings

LOOKED_AT = 5000  # users among whom the samples are drawn
SHOWN = 12  # purchases shown per user


@dataclass(frozen=True)
class Place:
    """One place of a list; ``hit`` is None while nothing has been bought by anybody."""

    rank: int
    product: Product
    reason: str
    hit: bool | None


@dataclass(frozen=True)
class Sample:
    """A user without a name: the list, and what was bought after as_of, most pieces first."""

    label: str
    places: list[Place]
    bought: list[tuple[Product, float, bool]]  # product, pieces, whether it stood in the list
    more: int  # further products bought

    @property
    def hits(self) -> int:
        return sum(bool(place.hit) for place in self.places)


@dataclass(frozen=True)
class Reason:
    """How many users find this reason in first place; None where they are too few to be shown."""

    reason: str
    users: int | None


@dataclass(frozen=True)
class Lists:
    """What the page says of recommendations. ``until`` is the last day of purchases known after as_of."""

    samples: list[Sample]
    reasons: list[Reason]
    users: int
    until: date | None


def lists(reader: Reader, settings: Settings, as_of: date) -> Lists:
    """Samples and first-place reasons; all empty if nothing was recommended."""
    here = pc.field("as_of") == as_of
    first = here & (pc.field("rank") == 1)
    counted = reader.sums("gold/recommendations", ["reason"], [], first).to_pylist()
    until = _until(reader, settings, as_of)
    samples = _samples(reader, settings, as_of, _draw(reader, settings, as_of, first), until)
    return Lists(samples, _suppressed(counted, settings.report.smallest_group), sum(r["rows"] for r in counted), until)


def _suppressed(counted: Sequence[dict[str, int | str]], smallest: int) -> list[Reason]:
    """Groups below the smallest allowed show no number; one alone would follow from the total, so a second joins it."""
    ordered = sorted(counted, key=lambda row: -int(row["rows"]))
    small = {str(row["reason"]) for row in ordered if int(row["rows"]) < smallest}
    if len(small) == 1 and len(ordered) > 1:
        small.add(next(str(row["reason"]) for row in reversed(ordered) if str(row["reason"]) not in small))
    return [Reason(str(r["reason"]), None if str(r["reason"]) in small else int(r["rows"])) for r in ordered]


def _after(settings: Settings, as_of: date) -> pc.Expression:
    """Purchases in the weeks that recommendations are measured on."""
    end = as_of + timedelta(days=7 * settings.recommender.label_weeks)
    return (
        (pc.field("week_start") >= as_of - timedelta(days=6))
        & (pc.field("week_start") <= end)
        & (pc.field("event_date") > as_of)
        & (pc.field("event_date") <= end)
        & (pc.field("event_type") == "purchase")
    )


def _until(reader: Reader, settings: Settings, as_of: date) -> date | None:
    dates = reader.sums("silver/events", ["event_date"], [], _after(settings, as_of), newest=True)["event_date"]
    return pc.max(dates).as_py() if len(dates) else None


def _draw(reader: Reader, settings: Settings, as_of: date, first: pc.Expression) -> list[str]:
    """A seeded draw of users, those who bought something afterwards before those who did not."""
    pool = reader.some("gold/recommendations", ["user_id"], LOOKED_AT, first)["user_id"].to_pylist()
    drawn = sorted(pool, key=lambda user: hashlib.sha256(f"{settings.seed}/{user}".encode()).digest())
    drawn = drawn[: 20 * settings.report.users]
    bought = _after(settings, as_of) & among("user_id", drawn)
    buyers = set(reader.sums("silver/events", ["user_id"], [], bought, newest=True)["user_id"].to_pylist())
    return sorted(drawn, key=lambda user: user not in buyers)[: settings.report.users]


def _samples(reader: Reader, settings: Settings, as_of: date, users: Sequence[str], until: date | None) -> list[Sample]:
    theirs = among("user_id", users)
    columns = ["user_id", "rank", "product_id", "reason"]
    places = reader.rows("gold/recommendations", columns, (pc.field("as_of") == as_of) & theirs).to_pylist()
    bought = reader.sums(
        "silver/events", ["user_id", "product_id"], ["quantity"], _after(settings, as_of) & theirs, newest=True
    ).to_pylist()
    names = products(reader, {row["product_id"] for row in [*places, *bought]})
    samples = []
    for number, user in enumerate(users, start=1):
        mine = sorted((row for row in places if row["user_id"] == user), key=lambda row: row["rank"])
        basket = {row["product_id"]: row["quantity"] for row in bought if row["user_id"] == user}
        listed = {row["product_id"] for row in mine}
        order = sorted(basket, key=lambda product: (product not in listed, -basket[product], product))
        samples.append(
            Sample(
                f"Shopper {number}",
                [
                    Place(r["rank"], names[r["product_id"]], r["reason"], r["product_id"] in basket if until else None)
                    for r in mine
                ],
                [(names[product], basket[product], product in listed) for product in order[:SHOWN]],
                max(len(order) - SHOWN, 0),
            )
        )
    return samples
