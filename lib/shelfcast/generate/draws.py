"""Random draws that are functions of a seed and a row's key: the same whatever task, order or machine makes the row."""

import math
from collections.abc import Mapping

from pyspark.sql import Column
from pyspark.sql import functions as F

_BITS = 53  # of a double's fraction


def uniform(seed: int, name: str, *key: Column) -> Column:
    """A number in [0, 1) that depends on the seed, what it is drawn for and the key."""
    bits = F.shiftrightunsigned(F.xxhash64(F.lit(seed), F.lit(name), *key), 64 - _BITS)
    return bits / F.lit(float(1 << _BITS))


def normal(seed: int, name: str, *key: Column) -> Column:
    """A standard normal number (Box and Muller, 1958)."""
    radius = F.sqrt(-2.0 * F.ln(1.0 - uniform(seed, f"{name} radius", *key)))
    return radius * F.cos(2.0 * math.pi * uniform(seed, f"{name} angle", *key))


def whole(draw: Column, number: int) -> Column:
    """0 … number - 1, each as likely."""
    return F.floor(draw * number).cast("int")


def among(draw: Column, shares: Mapping[str, float]) -> Column:
    """One of some names by their shares, which add up to 1."""
    names = list(shares)
    chosen, reached = F.lit(names[-1]), 1.0
    for name in reversed(names[:-1]):
        reached -= shares[names[names.index(name) + 1]]
        chosen = F.when(draw < reached, F.lit(name)).otherwise(chosen)
    return chosen


def zipf(draw: Column, number: int, exponent: float) -> Column:
    """A rank 0 … number - 1 with probability near (rank + 1) to the power of -exponent, which is not 1.

    The inverse of the continuous distribution function, so a table of probabilities is not needed.
    """
    power = 1.0 - exponent
    rank = F.pow(draw * ((number + 1.0) ** power - 1.0) + 1.0, F.lit(1.0 / power))
    return F.least(F.floor(rank) - 1, F.lit(number - 1)).cast("long")


def named(letter: str, number: Column) -> Column:
    """A number as an id: P0000042."""
    return F.concat(F.lit(letter), F.lpad(number.cast("string"), 8, "0"))
