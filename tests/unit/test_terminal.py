"""What a run prints is readable."""

from io import StringIO

import pytest
from rich.console import Console

from shelfcast.terminal import duration, facts, rows


def printed(renderable) -> str:
    console = Console(file=StringIO(), width=80)
    console.print(renderable)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (3.14, "3.1 s"), (59.97, "1 min 00 s"), (239.9, "4 min 00 s"), (61, "1 min 01 s")],
)
def test_durations_never_show_sixty_seconds(seconds, text):
    assert duration(seconds) == text


def test_text_from_data_is_not_taken_for_markup():
    assert "[red]SKU[/]" in printed(rows("Rows", [{"product_id": "[red]SKU[/]"}]))


def test_facts_show_each_value_with_its_name():
    text = printed(facts("Lists", {"users": 2460, "reasons": {"repeat": 9, "novel": 1}}))
    assert "2,460" in text
    assert "repeat 9, novel 1" in text
