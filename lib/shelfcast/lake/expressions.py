"""What a SQL expression of the configuration refers to, and clear errors where it cannot or must not.

A source's YAML may come from somebody else: its expressions compute over the record's columns and do nothing else.
"""

import json
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from shelfcast.errors import ConfigError

Name = tuple[str, ...]
_JAVA = {"java_method", "reflect", "try_reflect"}  # call any static method of the JVM
_QUERIES = {"Exists", "InSubquery", "ListQuery", "ScalarSubquery"}  # read any table or file


def references(spark: SparkSession, text: str, key: str) -> set[Name]:
    """The names in an expression, each as its parts: ``{("raw", "price"), ("quantity",)}``.

    Args:
        key: where the expression stands in the configuration, for the error.

    Raises:
        ConfigError: if it is no Spark SQL expression, calls Java, or holds a query.
    """
    jvm_session: Any = spark._jsparkSession  # noqa: SLF001  PySpark offers no parser
    try:
        parsed = jvm_session.sessionState().sqlParser().parseExpression(text)
    except PySparkException as error:
        first = str(error).strip().splitlines()[0]
        raise ConfigError(f"{key}: {text!r} is no Spark SQL expression: {first}") from error
    _require_plain(parsed, text, key)
    leaves = parsed.collectLeaves()
    found = (leaves.apply(index) for index in range(leaves.size()))
    named = (leaf for leaf in found if leaf.getClass().getSimpleName() == "UnresolvedAttribute")
    return {tuple(leaf.nameParts().apply(i) for i in range(leaf.nameParts().size())) for leaf in named}


def _require_plain(parsed: Any, text: str, key: str) -> None:
    for node in json.loads(parsed.toJSON()):
        kind = node["class"].rpartition(".")[2]
        function = node.get("nameParts", "").strip("[]").rpartition(", ")[2].lower()
        if kind == "UnresolvedFunction" and function in _JAVA:
            raise ConfigError(
                f"{key}: {text!r} calls Java by {function}, which a configuration must not; use SQL functions"
            )
        if kind in _QUERIES:
            raise ConfigError(
                f"{key}: {text!r} holds a query; only expressions over the record's own columns can be used"
            )
