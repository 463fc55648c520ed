"""The files that a table's versions consist of, which of these versions readers see, and what nobody needs."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import date
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from shelfcast.lake.ledger import Ledger
from shelfcast.lake.paths import storage_options, table_uri
from shelfcast.lake.tables import contract

Files = Mapping[Any, Mapping[str, int]]


class TableFiles:
    """One table's files.

    Args:
        ledger: of its lake.
        name: the table.
    """

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger, self._name = ledger, name
        self._uri = table_uri(ledger.lake, name)
        self._slice = contract(name).slice

    def version(self) -> int:
        """The newest one."""
        return self._delta().version()

    def files(self, version: int | None = None) -> Files:
        """Slice (None where the table has none) → path → bytes, in a version."""
        adds = pa.table(self._delta(version).get_add_actions(flatten=True))
        found: dict[Any, dict[str, int]] = defaultdict(dict)
        slices = adds[f"partition.{self._slice}"].to_pylist() if self._slice else [None] * adds.num_rows
        for key, path, size in zip(slices, adds["path"].to_pylist(), adds["size_bytes"].to_pylist(), strict=True):
            found[key][path] = size
        return found

    def published(self) -> dict[date, int]:
        """The version that readers of each day see."""
        listed = self._ledger.publications()
        return {day: versions[self._name] for day, versions in listed.items() if self._name in versions}

    def move_published(self, before: Files, newest: int) -> list[date]:
        """Let days be read from the newest version if their slice was the same in the one that they were read from.

        Args:
            before: the table's files before what was done to it.

        Returns:
            the days that were moved on.
        """
        moved: list[date] = []
        known: dict[int, Files] = {}
        for day, version in self.published().items():
            if version == newest:
                continue
            if version not in known:
                known[version] = self.files(version)
            key = day if self._slice == "as_of" else None
            if known[version].get(key, {}).keys() == before.get(key, {}).keys():
                moved.append(day)
        self._ledger.move(self._name, moved, newest)
        return moved

    def vacuumed(self, retain_days: int, *, dry_run: bool) -> list[str]:
        """The files that no published version needs nor any younger than this, deleted unless ``dry_run``."""
        keep = sorted(set(self.published().values()))
        return self._delta().vacuum(
            retention_hours=24 * retain_days, dry_run=dry_run, full=True, keep_versions=keep or None,
            enforce_retention_duration=bool(retain_days),
        )  # fmt: skip

    def _delta(self, version: int | None = None) -> DeltaTable:
        return DeltaTable(self._uri, version=version, storage_options=storage_options(self._uri))
