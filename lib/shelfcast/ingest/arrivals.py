"""Finds out what has to be done: which files are new or changed, and which records have to be cleaned again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from shelfcast.errors import SourceError
from shelfcast.ingest.canonical import Reading
from shelfcast.ingest.files import RawFile, list_files
from shelfcast.lake.snapshot import Snapshot
from shelfcast.lake.step import content_id
from shelfcast.settings import Settings

TABLE = "ops/files"


@dataclass(frozen=True)
class Known:
    """A file that an earlier ingest has read; a row of ops/files."""

    file: str
    checksum: str
    size: int
    ingest_id: str
    ingested_at: datetime


@dataclass(frozen=True)
class Arrival:
    """What there is to do for one input.

    Attributes:
        reading: the input.
        files: all files that are there now.
        new: those to be read, in this ingest.
        replaced: known paths whose content has changed.
        known: what earlier ingests have read.
        ingest_id: names this ingest by what it brings, so that a repeated attempt writes the same slice; None if
            it brings nothing.
        at: when it arrived.
        derived: whether the records are another input's, read by that one.
    """

    reading: Reading
    files: tuple[RawFile, ...]
    new: tuple[RawFile, ...]
    replaced: tuple[str, ...]
    known: tuple[Known, ...]
    ingest_id: str | None
    at: datetime
    derived: bool = False

    def content(self) -> list[Known]:
        """Every file whose records there are after this ingest."""
        kept = [known for known in self.known if known.file not in self.replaced]
        return kept + [Known(f.path, f.checksum, f.size, self.ingest_id or "", self.at) for f in self.new]

    def wanted(self) -> dict[str, str]:
        """Ingest id → content id of its refused records, which says how its records were cleaned."""
        reading = self.reading
        how = content_id(
            code_id(), reading.given.model_dump(), reading.cleaning.model_dump(), reading.week_start,
            reading.of.time_zone, reading.of.currency,
        )  # fmt: skip
        files: dict[str, list[tuple[str, str]]] = {}
        for known in self.content():
            files.setdefault(known.ingest_id, []).append((known.file, known.checksum))
        return {name: content_id(how, sorted(files[name]), name) for name in sorted(files)}

    def bronze_id(self, ingest_id: str) -> str:
        """The bronze slice of one of this arrival's ingests."""
        return _renamed(ingest_id, self.reading.source, self.reading.input, self.reading.stored_as)

    def rows(self) -> list[dict[str, object]]:
        """Rows of ops/files after this ingest."""
        named = {"source": self.reading.source, "input": self.reading.input}
        return [named | vars(known) for known in self.content()]


def _renamed(ingest_id: str, source: str, old: str, new: str) -> str:
    return f"{source}.{new}.{ingest_id.removeprefix(f'{source}.{old}.')}"


def arrivals(settings: Settings, lake: str, at: datetime) -> list[Arrival]:
    """What there is to do for every input of every source.

    Raises:
        SourceError: if files are missing or empty, or one that was read has changed and the source refuses that.
    """
    known = _known(lake)
    found: list[Arrival] = []
    for name, source in settings.sources.items():
        own: dict[str, Arrival] = {}
        for input_name, given in source.inputs.items():
            if given.records_of is None:
                reading = Reading(name, input_name, source, given, settings.calendar.week_start, settings.cleaning)
                files = list_files(name, source, input_name, given)
                own[input_name] = _arrival(reading, files, known.get((name, input_name), ()), at)
        found += own.values()
        for input_name, given in source.inputs.items():
            if given.records_of is not None:
                reading = Reading(name, input_name, source, given, settings.calendar.week_start, settings.cleaning)
                found.append(_derived(own[given.records_of], reading))
    return found


def _derived(parent: Arrival, reading: Reading) -> Arrival:
    """The same records for another table, under ids of their own."""

    def renamed(ingest_id: str) -> str:
        return _renamed(ingest_id, reading.source, parent.reading.input, reading.input)

    known = tuple(replace(file, ingest_id=renamed(file.ingest_id)) for file in parent.known)
    brings = renamed(parent.ingest_id) if parent.ingest_id else None
    return replace(parent, reading=reading, known=known, ingest_id=brings, derived=True)


def _arrival(reading: Reading, files: list[RawFile], before: tuple[Known, ...], at: datetime) -> Arrival:
    sums = {known.file: known.checksum for known in before}
    changed = [file for file in files if sums.get(file.path, file.checksum) != file.checksum]
    if changed and reading.of.changed_files == "refuse":
        raise SourceError(
            f"source {reading.source}, input {reading.input}: {changed[0].uri} was read before and has changed since; "
            f"give new records a new file, or set sources.{reading.source}.changed_files: replace"
        )
    new = tuple(file for file in files if sums.get(file.path) != file.checksum)
    brings = content_id([(file.path, file.checksum) for file in new])[:12]
    return Arrival(
        reading=reading,
        files=tuple(files),
        new=new,
        replaced=tuple(file.path for file in changed),
        known=before,
        ingest_id=f"{reading.source}.{reading.input}.{brings}" if new else None,
        at=at,
    )


def _known(lake: str) -> Mapping[tuple[str, str], tuple[Known, ...]]:
    if not Snapshot.exists(lake, TABLE):
        return {}
    rows = Snapshot(lake, TABLE).arrow()
    found: dict[tuple[str, str], list[Known]] = {}
    for row in rows.to_pylist():
        known = Known(row["file"], row["checksum"], row["size"], row["ingest_id"], row["ingested_at"].astimezone(UTC))
        found.setdefault((row["source"], row["input"]), []).append(known)
    return {key: tuple(files) for key, files in found.items()}


@cache
def code_id() -> str:
    """A content id of this room's code."""
    return content_id([path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))])
