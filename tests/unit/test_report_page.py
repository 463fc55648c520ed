"""The page that is written."""

import json
import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_lake import (
    AS_OF,
    TARGETS,
    demand,
    event,
    facts,
    forecasts,
    metric,
    place,
    product,
    put,
    ran,
    refused,
    series,
    step_of,
    window,
)

from shelfcast.lake.ledger import Ledger
from shelfcast.lake.step import Outcome
from shelfcast.report import charts
from shelfcast.report.accuracy import Score
from shelfcast.report.page import decimal, duration, render, signed_percent
from shelfcast.report.palette import COLOURS
from shelfcast.report.run import run

EVIL = """</script><script>alert("x")</script> '&<b>Tea</b>"""


class Page(HTMLParser):
    """Elements, scripts and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.scripts: list[tuple[str, str]] = []
        self.text = ""
        self.references: list[str] = []
        self._inside: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.references += [value for name, value in attrs if name in ("src", "href") and value]
        self._inside = tag if tag in ("script", "style") else None
        if tag == "script":
            self.scripts.append((given.get("type") or "", ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)
        elif self._inside is None:
            self.text += data


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A lake that has something for every section, with a product that nobody would name so."""
    put(tmp_path, "silver/products", product("p1", product_type=EVIL, brand=EVIL))
    put(
        tmp_path,
        "gold/demand",
        demand("p1", AS_OF.replace(day=1), 4.0) | {"period_start": TARGETS[0].replace(month=2, day=26)},
    )
    put(tmp_path, "gold/series", series("p1", 40.0))
    put(tmp_path, "gold/windows", window("p1", [3.0, 4.0], promoted=(1,)))
    put(tmp_path, "gold/forecasts", *forecasts("p1", 6.0))
    put(tmp_path, "silver/events", *(event("p1", day + timedelta(days=6)) for day in TARGETS))
    put(tmp_path, "gold/recommendations", place("u1", 1, "p1", EVIL))
    put(tmp_path, "silver/quarantine", refused(EVIL, [EVIL], json.dumps({"sku": EVIL})))
    counts = {
        "source": EVIL,
        "input": "sales",
        "read": 1,
        "silver": 0,
        "quarantined": 1,
        "duplicates": 0,
        "superseded": 0,
    }
    ran(tmp_path, "ingest", "*", Outcome(rows_in=1, counts={"inputs": [counts]}))
    rows = [metric(model, "wape", value, part) for part in ("all", "horizon=1", "horizon=2", f"class={EVIL}")
            for model, value in (("forecaster", 0.5), (EVIL, 0.7))]  # fmt: skip
    rows += [metric("forecaster", "pit", 0.1, f"tenth={i}") for i in range(1, 11)]
    rows += [metric("recommender", "recall@10", 0.4), metric("personal_frequency", "recall@10", 0.3)]
    Ledger(str(tmp_path)).replace_metrics(AS_OF, rows)
    Ledger(str(tmp_path)).publish(AS_OF, {"gold/forecasts": 0}, "run")
    return tmp_path


def test_a_name_that_is_markup_stays_text_everywhere(full: Path) -> None:
    html = render(facts(full))
    page = Page(html)
    assert "<script>alert" not in html
    assert "<b>Tea" not in html
    assert page.text.count(EVIL) >= 5


def test_every_figure_is_json_without_markup(full: Path) -> None:
    figures = [text for kind, text in Page(render(facts(full))).scripts if kind == "application/json"]
    assert len(figures) >= 7
    for text in figures:
        assert json.loads(text)
        assert not set(text) & set("<>&")


def test_recommendations_are_told_by_shopper_and_by_product_unless_too_few_shoppers_are_behind_them(
    tmp_path: Path,
) -> None:
    put(tmp_path, "gold/recommendations", place("u1", 1, "p1"))
    rows = []
    for segment, users, ours in (
        ("all", 90, 0.4), ("history=1-9", 4, 0.111), ("history=10-49", 50, 0.222), ("target=tail", 60, 0.333),
        ("target=head", 70, 0.444),
    ):  # fmt: skip
        rows += [metric("recommender", "users", users, segment),
                 metric("recommender", "recall@10", ours, segment, "personal_frequency"),
                 metric("recommender", "recall@10_interval_low", -0.021, segment),
                 metric("recommender", "recall@10_interval_high", 0.034, segment),
                 metric("personal_frequency", "recall@10", 0.3, segment)]  # fmt: skip
    rows += [metric("recommender", "coverage@10", 0.987), metric("recommender", "novelty@10", 3.21)]
    Ledger(str(tmp_path)).replace_metrics(AS_OF, rows)
    text = " ".join(Page(render(facts(tmp_path))).text.split())
    assert "The difference in recall lies between −0.021 and +0.034 (95 %, paired over shoppers)" in text
    assert "10-49500.222personal frequency0.300-0.021 … 0.034" in text
    assert "0.111" not in text
    assert text.index("head700.444") < text.index("tail600.333")
    assert "0.9873.210" in text


def test_the_page_is_one_file_that_may_not_use_the_network(full: Path) -> None:
    html = render(facts(full))
    assert all(reference.startswith("#") for reference in Page(html).references)
    assert "default-src 'none'" in html
    assert "width=device-width" in html
    assert len(re.findall(r"plotly\.js v\d", html)) == 1


def test_the_page_tells_every_part_of_the_story(full: Path) -> None:
    text = " ".join(Page(render(facts(full))).text.split())
    for told in (
        "1 record was read. Every one is accounted for", "all of which have since been sold", "Top seller",
        "That is 28.6% less error", "By horizon", "triangles",
        "1 of 1 were then bought", "too few to show", "Published table versions",
    ):  # fmt: skip
        assert told in text


def test_an_empty_lake_leaves_sentences(tmp_path: Path) -> None:
    text = " ".join(Page(render(facts(tmp_path))).text.split())
    for said in (
        "holds no counts of an ingest", "Nothing was refused", "No demand has been built", "No series has a forecast",
        "have not been evaluated", "Nothing was recommended", "holds no finished step", "No model was handed",
    ):  # fmt: skip
        assert said in text


def test_forecasts_without_truth_promotions_or_users_are_still_drawn(tmp_path: Path) -> None:
    put(tmp_path, "gold/demand", demand("p1", TARGETS[0].replace(month=2, day=26), 4.0))
    put(tmp_path, "gold/series", series("p1", 40.0))
    put(tmp_path, "gold/windows", window("p1", [4.0]))
    put(tmp_path, "gold/forecasts", *forecasts("p1", 6.0))
    text = " ".join(Page(render(facts(tmp_path))).text.split())
    assert "none of them has arrived yet" in text
    assert "there are no errors to show" in text
    assert "no promotions: none is drawn" in text


def test_the_step_writes_the_page_without_spark_and_says_where(full: Path) -> None:
    outcome = run(step_of(full, models={"forecaster": str(full / "models" / "none")}))
    path = Path(outcome.counts["path"])
    assert path == full / "reports" / f"{AS_OF}.html"
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_damaged_model_folder_does_not_stop_the_report(full: Path) -> None:
    folder = full / "models" / "forecaster" / "m1"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text("{half")
    (folder / "inputs.json").write_text('{"gold/windows": 3}')
    assert "gold/windows 3" in run_text(full, {"forecaster": str(folder)})


def run_text(lake: Path, models: dict[str, str]) -> str:
    return " ".join(Page(Path(run(step_of(lake, models=models)).counts["path"]).read_text()).text.split())


def test_dots_stand_best_on_top_with_ours_in_colour() -> None:
    figure = json.loads(charts.dots([Score("forecaster", 0.5, ours=True), Score("naive", 0.9, ours=False)], "WAPE"))
    assert figure["data"][-1]["y"] == ["naive", "shelfcast"]
    assert figure["data"][-1]["marker"]["color"][-1] == COLOURS["accent"][0]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("colour", ["ink", "soft", "accent", "truth"])
@pytest.mark.parametrize("ground", ["paper", "card"])
def test_text_has_contrast_enough(scheme: int, colour: str, ground: str) -> None:
    def luminance(name: str) -> float:
        parts = [int(COLOURS[name][scheme][i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(colour), luminance(ground)), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_no_dark_colour_is_taken_for_a_light_one() -> None:
    assert len({light for light, _ in COLOURS.values()}) == len(COLOURS)


def test_numbers_read_as_a_person_writes_them() -> None:
    assert (decimal(None), decimal(0.5)) == ("–", "0.500")
    assert signed_percent(-0.125) == "−12.5%"
    assert [duration(s) for s in (None, 1.25, 42.0, 125.0)] == ["–", "1.2 s", "42 s", "2 min 05 s"]


def test_what_drove_the_forecasts_is_drawn_with_the_largest_share_on_top(full: Path) -> None:
    assert "What drove the forecasts" not in Page(render(facts(full))).text
    for group, share in (("history", 0.3), ("promotion", 0.6), ("price", 0.1)):
        put(full, "ops/metrics", metric("forecaster", "contribution", share, f"group={group}"))
    page = Page(render(facts(full)))
    assert "What drove the forecasts" in page.text
    (figure,) = [json.loads(text) for kind, text in page.scripts if '"y":["price","history","promotion"]' in text]
    assert figure["data"][0]["x"] == [0.1, 0.3, 0.6]  # drawn from below
    assert figure["data"][0]["name"] == "all series"
