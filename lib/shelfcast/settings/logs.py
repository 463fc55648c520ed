"""Sources of raw logs, and how their records are cleaned."""

from datetime import date
from typing import Literal

from pydantic import Field, field_validator, model_validator

from shelfcast.settings.section import Positive, Section, TimeZone


class Rule(Section):
    """A cleaning rule refuses a record where ``when`` (Spark SQL over canonical columns) IS TRUE."""

    refuses: str
    when: str


class Input(Section):
    """One kind of file of a source and the canonical table it fills.

    ``columns`` maps canonical columns to Spark SQL expressions over the raw ones (and ``_time_zone``, the source's).
    Every other expression, and a column that looks something up, sees canonical columns, raw ones as ``raw.x`` and
    the lookups ``products.x``, ``stores.x``, ``campaigns.x``. ``identities`` says what becomes of raw columns that
    name a person before bronze is written.
    """

    files: list[str] = []
    records_of: str | None = None  # instead of files: another input of the source, whose records fill a second table
    optional: bool = False  # no error where no file matches
    format: Literal["csv", "json", "parquet", "delta"] = "csv"
    options: dict[str, str] = {}
    fields: str | None = None  # DDL of the raw columns, where the files carry no names or types
    fills: Literal[
        "events", "products", "stores", "users", "promotions", "campaigns", "coupons",
        "redemptions", "exposures", "stock", "reviews",
    ]  # fmt: skip
    columns: dict[str, str]
    where: str | None = None  # rows of another kind in the same file; they are counted as out of scope
    identity: list[str] = []  # canonical expressions that make a record the same record; default: all columns
    sequence_by: str | None = None  # among versions of one record the highest wins
    known_from: str | None = None  # SQL date from which a plan is known; default: event or validity date
    bounds: dict[str, tuple[float | None, float | None]] = {}  # fixed, instead of cleaning.*_bounds; null: open
    rules: dict[str, Rule | None] = {}  # added to cleaning.rules; null switches a default rule off
    identities: dict[str, Literal["hash", "drop", "generalise", "keep"]] = {}  # default: hash what user_id names

    @field_validator("columns", mode="before")
    @classmethod
    def _without_nulls(cls, given: object) -> object:
        """A null takes a column away that the extended kind declares."""
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _reads_something(self) -> "Input":
        if not self.files and self.records_of is None:
            raise ValueError("say which files to read: files: [...]")
        return self


class Source(Section):
    """One raw log: where it lies and how its columns become canonical ones."""

    extends: str | None = None  # a shipped kind: the name of a file in conf/sources
    package: str | None = None  # a Python package whose folder relative file names start from
    root: str | None = None  # folder or URI that relative file names start from
    time_zone: TimeZone = "UTC"  # of stores without their own
    currency: str | None = None
    as_of: date | None = None  # the default as_of while this source is the only one
    changed_files: Literal["refuse", "replace"] = "refuse"
    inputs: dict[str, Input] = {}

    @model_validator(mode="after")
    def _records_exist(self) -> "Source":
        for name, given in self.inputs.items():
            parent = self.inputs.get(given.records_of or name)
            if parent is None or (given.records_of and parent.records_of):
                raise ValueError(f"inputs.{name}.records_of must name an input with files of its own")
        return self


class Bounds(Section):
    """Plausible ranges fitted once per category, stored and reused: median ± width × robust spread of log values."""

    columns: list[str]
    per: str
    width: float = Field(gt=0)
    min_records: Positive


class Cleaning(Section):
    """Rules and bounds that decide what goes to quarantine."""

    floor: date
    rules: dict[str, Rule]
    fixed_bounds: dict[str, tuple[float | None, float | None]]
    fitted_bounds: Bounds | None
    bot_events_per_day: Positive | None
