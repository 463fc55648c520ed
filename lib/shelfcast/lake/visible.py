"""The one as-of filter: what a run may know."""

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def visible(frame: DataFrame, as_of: date) -> DataFrame:
    """Rows a run at ``as_of`` (inclusive) may know of.

    An event is visible from its store-local ``event_date``, a plan from its ``known_from`` (null: always).
    """
    day = F.lit(as_of)
    if "event_date" in frame.columns:
        frame = frame.where(F.col("event_date") <= day)
    if "known_from" in frame.columns:
        frame = frame.where(F.col("known_from").isNull() | (F.col("known_from") <= day))
    return frame
