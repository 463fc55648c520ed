"""What a SQL expression of a source refers to, and clear errors where it cannot."""

import difflib
from collections.abc import Iterable
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from shelfcast.errors import ConfigError, SourceError

Name = tuple[str, ...]


def references(spark: SparkSession, text: str, key: str) -> set[Name]:
    """The names in an expression, each as its parts: ``{("raw", "price"), ("quantity",)}``.

    Args:
        key: where the expression stands in the configuration, for the error.

    Raises:
        ConfigError: if it is no Spark SQL expression.
    """
    jvm_session: Any = spark._jsparkSession  # noqa: SLF001  PySpark offers no parser
    try:
        parsed = jvm_session.sessionState().sqlParser().parseExpression(text)
    except PySparkException as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"{key}: {text!r} is no Spark SQL expression: {first}") from error
    leaves = parsed.collectLeaves()
    found = (leaves.apply(index) for index in range(leaves.size()))
    named = (leaf for leaf in found if leaf.getClass().getSimpleName() == "UnresolvedAttribute")
    return {tuple(leaf.nameParts().apply(i) for i in range(leaf.nameParts().size())) for leaf in named}


def require_columns(wanted: Iterable[str], have: Iterable[str], key: str, files: str) -> None:
    """Check that raw columns are there, upper and lower case being the same.

    Raises:
        SourceError: naming the expression's key, the files, the column and the nearest one that is there.
    """
    names = list(have)
    lower = {name.lower() for name in names}
    for name in wanted:
        if name.lower() not in lower:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            near = f"did you mean {close[0]}?" if close else "correct the expression"
            raise SourceError(
                f"{key} names column {name}, but {files} has none of that name; it has {', '.join(names)}; {near}"
            )
