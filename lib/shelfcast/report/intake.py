"""What came in and what was refused and why, from the ingest's counts and the quarantine."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from shelfcast.lake.ledger import Record
from shelfcast.report.reader import Reader
from shelfcast.settings import Input, Settings

FATES = ("silver", "quarantined", "duplicates", "superseded")
SAMPLED = 50_000  # refused records looked at for examples
EXAMPLES = 2  # shown per combination of rules
LONGEST = 60  # characters of a value shown

# Canonical columns that may speak of a person; raw columns behind them are not shown.
PERSONAL = {
    "user_id", "session_id", "order_id", "age", "income", "home_ownership", "marital_status", "household_size",
    "household_composition", "kids", "text", "coupon_id",
}  # fmt: skip


@dataclass(frozen=True)
class Flow:
    """Records of one input of one source; a count the ingest did not give is None."""

    source: str
    input: str
    counts: Mapping[str, int | None]
    imputed: Mapping[str, int] = field(default_factory=dict)  # column → values filled in

    @property
    def read(self) -> int | None:
        return self.counts.get("read")

    @property
    def accounted(self) -> int:
        return sum(self.counts.get(fate) or 0 for fate in FATES)

    @property
    def closes(self) -> bool:
        return self.read is not None and self.read == self.accounted


@dataclass(frozen=True)
class Refusal:
    """A rule, what it refuses in plain words, and how many records it refused."""

    source: str
    input: str
    rule: str
    refuses: str
    records: int


@dataclass(frozen=True)
class Example:
    """A refused record, only with columns that do not speak of a person."""

    source: str
    file: str
    rules: list[str]
    values: list[tuple[str, str]]


@dataclass(frozen=True)
class Intake:
    """Everything the page says about the logs."""

    flows: list[Flow]
    refusals: list[Refusal]
    examples: list[Example]

    @property
    def read(self) -> int:
        return sum(flow.read or 0 for flow in self.flows)

    def sum(self, fate: str) -> int:
        return sum(flow.counts.get(fate) or 0 for flow in self.flows)

    @property
    def accounted(self) -> int:
        return sum(flow.accounted for flow in self.flows)


def intake(reader: Reader, settings: Settings, records: Iterable[Record]) -> Intake:
    """Counts of the ingests that stand, added up per input, and what the quarantine holds."""
    totals: dict[tuple[str, str], Counter[str]] = {}
    imputed: dict[tuple[str, str], Counter[str]] = {}
    for source, input_, counts in _standing(records):
        known = {name: counts[name] for name in ("read", *FATES) if isinstance(counts.get(name), int)}
        totals.setdefault((source, input_), Counter()).update(known)
        imputed.setdefault((source, input_), Counter()).update(counts.get("imputed") or {})
    flows = [
        Flow(*key, {name: total.get(name) for name in ("read", *FATES)}, dict(imputed[key]))
        for key, total in sorted(totals.items(), key=lambda item: -item[1]["read"])
    ]
    refusals, examples = _quarantine(reader, settings)
    return Intake(flows, refusals, examples)


def _standing(records: Iterable[Record]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(source, input, counts) of successful ingests, without those whose records were all cleaned again later."""
    again: dict[tuple[str, str], set[str]] = {}
    for record in reversed(list(records)):
        if record.step != "ingest" or record.status != "done":
            continue
        slices = record.contents.get("silver/quarantine", {})
        for counts in record.counts.get("inputs", []):
            source, input_ = str(counts.get("source", "-")), str(counts.get("input", "-"))
            mine = {name for name in slices if name.startswith(f"{source}.{input_}.")}
            later = again.setdefault((source, input_), set())
            if not mine or not mine <= later:
                yield source, input_, counts
            later |= mine


def _quarantine(reader: Reader, settings: Settings) -> tuple[list[Refusal], list[Example]]:
    snapshot = reader.snapshot("silver/quarantine")
    counted: Counter[tuple[str, str, str]] = Counter()
    for batch in snapshot.batches(["source", "input", "rules"]) if snapshot else ():
        # Few combinations of rules repeat many times: count them before unpacking.
        frame = batch.to_pandas()
        frame["rules"] = frame["rules"].map(tuple)
        for (source, input_, rules), n in frame.value_counts().items():
            counted.update({(source, input_, rule): int(n) for rule in rules})
    refusals = [
        Refusal(source, input_, rule, refuses(settings, source, input_, rule), n)
        for (source, input_, rule), n in sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    ]
    columns = ["source", "input", "file", "rules", "record"]
    return refusals, _examples(settings, reader.some("silver/quarantine", columns, SAMPLED).to_batches())


def refuses(settings: Settings, source: str, input_: str, rule: str) -> str:
    """What a rule refuses, in the words of the configuration."""
    own = _input(settings, source, input_)
    stated = own.rules.get(rule) if own else None
    found = stated or settings.cleaning.rules.get(rule)
    return found.refuses if found else ""


def _input(settings: Settings, source: str, input_: str) -> Input | None:
    return settings.sources[source].inputs.get(input_) if source in settings.sources else None


def _examples(settings: Settings, batches: Iterable[Any]) -> list[Example]:
    """At most ``EXAMPLES`` per combination of rules."""
    met: Counter[tuple[str, ...]] = Counter()
    found = []
    for batch in batches:
        rules = [tuple(one) for one in batch.column("rules").to_pylist()]
        for i, combination in enumerate(rules):
            met[combination] += 1
            if met[combination] <= EXAMPLES:
                row = {name: batch.column(name)[i].as_py() for name in ("source", "input", "file", "record")}
                shown = _shown(row["record"], _input(settings, row["source"], row["input"]))
                found.append(Example(row["source"], row["file"], sorted(combination), shown))
    return sorted(found, key=lambda one: (one.source, one.rules))[:12]


def _shown(record: str, declared: Input | None) -> list[tuple[str, str]]:
    """Raw columns that feed canonical columns about things, not persons; none where that is not known."""
    try:
        raw = json.loads(record)
    except ValueError:
        return []
    if declared is None or not isinstance(raw, dict):
        return []
    named = {name: set(re.findall(r"\w+", expression)) for name, expression in declared.columns.items()}
    personal = set(declared.identities).union(*(used for name, used in named.items() if name in PERSONAL))
    things = set().union(*(used for name, used in named.items() if name not in PERSONAL)) - personal
    return [(name, _cut(value)) for name, value in raw.items() if name in things]


def _cut(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
