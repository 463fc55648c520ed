"""What a run shows: live progress in a terminal, log lines elsewhere, and a summary at the end."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from shelfcast.pipeline import Done


class Terminal:
    """Shows progress on ``console``: a spinner with the newest line in a terminal, dated lines elsewhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._status: Status | None = None

    def begin(self, step: str, slice_: str) -> Callable[[str], None]:
        title = step if slice_ == "*" else f"{step} {slice_}"
        if not self.console.is_terminal:
            self._line(f"{title}: started")
            return lambda text: self._line(f"{title}: {text}")
        self.stop()
        self._status = self.console.status(f"[bold]{title}[/]")
        self._status.start()

        def say(text: str) -> None:
            if self._status is not None:
                self._status.update(f"[bold]{title}[/] [dim]{escape(text)}[/]")

        return say

    def end(self, done: Done) -> None:
        self.stop()
        record = done.record
        title = record.step if record.slice == "*" else f"{record.step} {record.slice}"
        if done.skipped:
            self._line(f"{title}: unchanged, skipped")
        else:
            self._line(f"{title}: done in {duration(record.seconds)}")

    def stop(self) -> None:
        """Take the spinner away, so that a message can be printed."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _line(self, text: str) -> None:
        stamp = datetime.now(UTC).strftime("%H:%M:%S")
        self.console.print(f"[dim]{stamp}[/] {escape(text)}", highlight=False, soft_wrap=True)


def duration(seconds: float | None) -> str:
    """``2 min 05 s`` or ``3.1 s``."""
    if seconds is None:
        return "-"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def summary(done: Sequence[Done]) -> Table:
    """A row a step: what it read and wrote, and how long it took."""
    table = Table(title="Steps", title_justify="left", title_style="bold")
    table.add_column("step")
    table.add_column("slice")
    table.add_column("rows in", justify="right")
    table.add_column("rows out", justify="right")
    table.add_column("took", justify="right")
    for one in done:
        record = one.record
        took = "unchanged" if one.skipped else duration(record.seconds)
        table.add_row(record.step, record.slice, _count(record.rows_in), _count(record.rows_out), took)
    return table


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def rows(title: str, listed: Sequence[Mapping[str, Any]]) -> Table:
    """Any rows as a table, columns in the order of the first row."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in listed[0] if listed else ():
        table.add_column(name, overflow="fold")
    for row in listed:
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def facts(title: str, named: Mapping[str, Any]) -> Table:
    """One row's values under one another, each with its name."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in named.items():
        table.add_row(name.replace("_", " "), _cell(value))
    return table


def _cell(value: object) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_cell(one)}" for name, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    if isinstance(value, int | float):
        return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"
    return escape(str(value))
