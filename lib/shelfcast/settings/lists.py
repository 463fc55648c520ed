"""What a list of recommendations may hold: modes, counts, caps, exclusions, and who gets none."""

import difflib
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from shelfcast.settings.section import Positive, Section

Attribute = Literal["department", "category", "product_type", "brand", "manufacturer"]  # of silver/products
_MOST_EXCLUSIONS = 62  # each is a bit of a 64-bit integer


class Exclusion(Section):
    """Products that are not offered: to nobody or, with one more key, to some users or for a while after buying.

    Conditions are Spark SQL and hold where they are TRUE; a product or user that silver does not hold has null
    columns. Unless a user is known to fulfil ``only_for``, the products are hidden.
    """

    products: str  # over silver/products
    only_for: str | None = None  # over silver/users: offered to these alone
    hidden_from: str | None = None  # over silver/users: offered to all others
    bought_within_days: Positive | None = None  # not offered to who bought the same so many days ago or less
    same: Literal["product"] | Attribute = "product"  # what counts as the same: the product, or one alike among these

    @field_validator("same", mode="before")
    @classmethod
    def _known_attribute(cls, given: Any) -> Any:
        return _attribute(given, ("product", *get_args(Attribute)))

    @model_validator(mode="after")
    def _one_kind(self) -> "Exclusion":
        given = [n for n in ("only_for", "hidden_from", "bought_within_days") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} cannot stand in one exclusion; write an exclusion for each")
        if self.same != "product" and self.bought_within_days is None:
            raise ValueError("same says what must not be bought again: it needs bought_within_days")
        return self


class Lists(Section):
    """Rules of a shop for every list, applied while products are ranked: no list gets short by them."""

    mode: Literal["mixed", "novel", "repeat"]  # new or bought before; novel: new ones only; repeat: bought ones first
    novel: Annotated[int, Field(ge=0)] | None  # of a mixed list, how many products the user never bought
    repeat: Annotated[int, Field(ge=0)] | None  # and how many the user bought before; what is left out is the rest
    caps: dict[str, Positive]  # attribute → most products of a list with the same value; null counts as no value
    exclusions: dict[str, Exclusion | None]  # null switches one off
    opted_out: str | None  # SQL over silver/users: who gets no list

    @field_validator("caps", mode="before")
    @classmethod
    def _known_attributes(cls, given: Any) -> Any:
        if isinstance(given, dict):
            for name in given:
                _attribute(name, get_args(Attribute))
        return given

    @model_validator(mode="after")
    def _counts_of_mixed(self) -> "Lists":
        if self.mode != "mixed" and (self.novel is not None or self.repeat is not None):
            raise ValueError(f"novel and repeat say how mixed lists are made up, but mode is {self.mode}")
        if len(self.exclusions) > _MOST_EXCLUSIONS:
            raise ValueError(f"at most {_MOST_EXCLUSIONS} exclusions; join conditions with OR")
        return self

    def rules(self) -> dict[str, Exclusion]:
        """The exclusions that are not switched off, in their order."""
        return {name: rule for name, rule in self.exclusions.items() if rule is not None}

    def attributes(self) -> list[str]:
        """What must be known of products, beside their conditions."""
        same = [rule.same for rule in self.rules().values() if rule.same != "product"]
        return list(dict.fromkeys([*self.caps, *same]))

    def repeats(self, k: int) -> int | None:
        """How many of a list's ``k`` products should be bought before; None: as they score."""
        if self.mode == "repeat":
            return k
        return self.repeat if self.novel is None else k - self.novel


def _attribute(given: Any, known: tuple[str, ...]) -> Any:
    if given in known:
        return given
    close = difflib.get_close_matches(str(given), known, n=1, cutoff=0.5)
    near = f"did you mean {close[0]}?" if close else f"valid are {', '.join(known)}"
    raise ValueError(f"{given} is no attribute of a product; {near}")
