"""Ingests small logs that a test has written, as a newcomer would: by a YAML beside them."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from shelfcast.config import load
from shelfcast.ingest.run import run
from shelfcast.lake.step import Outcome, Step

SMALL = ("spark.master=local[2]", "spark.driver_memory=2g", "spark.shuffle_partitions=2")
ORDERS = "order_id,date,customer,product,quantity,price\n"


class Shop:
    """A folder of raw files, the source that describes them, and the lake they go to."""

    def __init__(self, folder: Path, step: Callable[..., Step]) -> None:
        folder.mkdir()
        self.folder = folder
        self.step = step
        self.stored: dict[str, dict[str, str]] = {}
        self.said: list[str] = []

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def ingest(self, source: dict[str, Any], **settings: Any) -> Outcome:
        """One run of the step with ``sources: {shop: source}``."""
        conf = self.folder / "shop.yaml"
        conf.write_text(yaml.safe_dump({"sources": {"shop": source}, **settings}))
        made = self.step(settings=load([conf], SMALL).settings, stored=self.stored, say=self.said.append)
        outcome = run(made)
        for table, slices in outcome.contents.items():
            self.stored.setdefault(table, {}).update(slices)
        return outcome

    def rows(self, table: str, *columns: str) -> list[tuple[Any, ...]]:
        """Rows of a table, sorted; times as text, in UTC."""
        frame = self.step().read(table).selectExpr(*columns)
        return sorted((tuple(map(_plain, row)) for row in frame.collect()), key=repr)


def _plain(value: Any) -> Any:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:23] if isinstance(value, datetime) else value
