"""What a bench or a search found."""

from dataclasses import dataclass
from typing import Any

from rich.table import Table


@dataclass(frozen=True)
class Measured:
    """Tables for people and the document of every figure."""

    tables: list[Table]
    document: dict[str, Any]
