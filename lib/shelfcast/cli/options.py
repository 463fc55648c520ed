"""Options that all commands share, and what they make of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from shelfcast.config import Loaded, load
from shelfcast.lake.paths import adopt

if TYPE_CHECKING:
    from shelfcast.terminal import Terminal


def day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no date; write YYYY-MM-DD") from error


Conf = Annotated[
    list[Path] | None, typer.Option("--conf", help="A YAML file over the defaults; later ones win.", show_default=False)
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One value, e.g. score.k=20.", show_default=False)
]
LakeUri = Annotated[str | None, typer.Option("--lake", metavar="URI", help="Where the tables lie.", show_default=False)]
AsOf = Annotated[
    date | None,
    typer.Option("--as-of", metavar="YYYY-MM-DD", parser=day, help="Last day the run may know.", show_default=False),
]
Since = Annotated[
    date | None,
    typer.Option("--start", metavar="YYYY-MM-DD", parser=day, help="First day, a Monday.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines; progress goes to stderr.")]
Force = Annotated[bool, typer.Option("--force", help="Run even what is unchanged.")]


@dataclass(frozen=True)
class Run:
    """A command's options, loaded."""

    loaded: Loaded
    as_json: bool

    @property
    def lake(self) -> str:
        return self.loaded.settings.lake

    def console(self) -> Console:
        return Console(stderr=self.as_json)

    @contextmanager
    def terminal(self) -> Iterator[Terminal]:
        """What shows the progress of a pipeline, stopped in any case."""
        from shelfcast.terminal import Terminal

        terminal = Terminal(self.console())
        try:
            yield terminal
        finally:
            terminal.stop()

    def print(self, document: Any, *renderables: Any) -> None:
        """The document for machines, or what people see."""
        if self.as_json:
            print(json.dumps(document, indent=1, default=str))
            return
        console = Console()
        for renderable in renderables:
            console.print(renderable, soft_wrap=isinstance(renderable, str), highlight=False)


def opened(conf: Conf, set_: Set, lake: LakeUri, as_of: AsOf, as_json: bool) -> Run:
    """A command's options, with the configuration they lead to."""
    loaded = load(conf or [], set_ or [], lake, as_of)
    adopt(loaded.settings.spark.conf)
    return Run(loaded, as_json)
