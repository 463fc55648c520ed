"""What a unit sold is: one definition for the demand that is learned from and the truth that forecasts meet."""

from pyspark.sql import Column
from pyspark.sql import functions as F

SOLD = ("purchase", "return")


def units() -> Column:
    """Pieces an event of ``silver/events`` adds to demand: sold ones count, returned ones are taken off."""
    kind, pieces = F.col("event_type"), F.abs(F.coalesce("quantity", F.lit(1.0)))
    return F.when(kind == "purchase", pieces).when(kind == "return", -pieces).otherwise(F.lit(0.0))
