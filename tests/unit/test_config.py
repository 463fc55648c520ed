"""The configuration is merged, remembers its origins, and refuses what it does not know."""

from datetime import date
from pathlib import Path

import pytest

from shelfcast.config import load, render
from shelfcast.errors import ConfigError

SHOP = """
sources:
  shop:
    inputs:
      lines: {files: [lines.csv], format: csv, fills: events, columns: {product_id: sku}}
"""

EXCLUSION = "lists: {{exclusions: {{a: {{products: brand IS NULL, {}}}}}}}"


@pytest.fixture
def conf(tmp_path: Path):
    def write(text: str, name: str = "my.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_the_embedded_default_is_valid_and_names_the_example_source():
    settings = load().settings
    assert list(settings.sources) == ["completejourney"]
    assert settings.windows.stride <= settings.windows.context - settings.windows.horizon


def test_later_files_win_and_options_win_over_all(conf):
    first = conf("score: {k: 7, batch: 100}", "first.yaml")
    second = conf("score: {k: 8}", "second.yaml")
    loaded = load([first, second], ["score.k=9"], lake="elsewhere", as_of=date(2017, 1, 8))
    assert (loaded.settings.score.k, loaded.settings.score.batch) == (9, 100)
    assert (loaded.settings.lake, loaded.settings.as_of) == ("elsewhere", date(2017, 1, 8))
    assert loaded.origins["score", "k"] == "--set score.k=9"
    assert loaded.origins["score", "batch"] == str(first)
    assert loaded.origins["lake",] == "--lake"


def test_own_sources_replace_the_example_and_get_a_lake_of_their_own(conf):
    settings = load([conf(SHOP)]).settings
    assert list(settings.sources) == ["shop"]
    assert settings.lake == "var/shop"


def test_a_relative_root_is_relative_to_the_file_that_names_it(conf, tmp_path):
    text = SHOP.replace("  shop:\n", "  shop:\n    root: logs\n")
    assert load([conf(text)]).settings.sources["shop"].root == str(tmp_path / "logs")


def test_a_source_extends_a_shipped_kind_and_overrides_parts_of_it(conf):
    source = load([conf("sources: {mine: {extends: completejourney, time_zone: UTC}}")]).settings.sources["mine"]
    shipped = load().settings.sources["completejourney"]
    assert source.inputs == shipped.inputs
    assert source.time_zone == "UTC"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("windows: {contxt: 30}", "windows.contxt is no key; did you mean context?"),
        ("widnows: {context: 30}", "widnows is no key; did you mean windows?"),
        ("windows: {context: 40, horizon: 0}", "windows.horizon is 0"),
        ("score: {k: many}", "score.k is 'many'"),
        ("windows: {context: 12}", "windows.context is 12"),
        ("windows: {stride: 52}", "stride must be at most context - horizon = 48"),
        ("lists: {mode: new}", "lists.mode is 'new': input should be 'mixed', 'novel' or 'repeat'"),
        ("lists: {novel: 11}", "lists.novel and lists.repeat must not exceed score.k = 10"),
        ("lists: {novel: 3, repeat: 6}", "lists.novel + lists.repeat must be score.k = 10; leave one of them out"),
        ("lists: {mode: novel, repeat: 2}", "novel and repeat say how mixed lists are made up, but mode is novel"),
        ("lists: {caps: {categry: 2}}", "categry is no attribute of a product; did you mean category?"),
        ("lists: {caps: {brand: 0}}", "lists.caps.brand is 0"),
        ("lists: {exclusions: {a: {only_for: age = 1}}}", "lists.exclusions.a.products is missing"),
        (EXCLUSION.format("only_fr: age = '9'"), "lists.exclusions.a.only_fr is no key; did you mean only_for?"),
        (EXCLUSION.format("same: brand"), "lists.exclusions.a: same says what must not be bought again"),
        (EXCLUSION.format("bought_within_days: 9, same: colour"), "colour is no attribute of a product; valid are"),
        (EXCLUSION.format("only_for: x, hidden_from: y"), "only_for and hidden_from cannot stand in one exclusion"),
        ("train: {launcher: mpi}", "train.launcher is 'mpi'"),
        (SHOP.replace("files:", "fils:"), "sources.shop.inputs.lines.fils is no key; did you mean fills?"),
        (SHOP.replace("  shop:\n", "  shop:\n    time_zone: Mars/One\n"), "'Mars/One' is no time zone"),
        ("sources: {shop: {extends: complete_journey}}", "did you mean completejourney?"),
        ("- a\n- b", "must hold keys and values, not a list"),
        ("a: [", "is no valid YAML"),
    ],
)
def test_a_wrong_key_or_value_names_file_key_and_what_was_expected(conf, text, said):
    path = conf(text)
    with pytest.raises(ConfigError) as caught:
        load([path])
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_an_exclusion_is_switched_off_by_null_and_keeps_no_place(conf):
    first = conf("lists: {exclusions: {a: {products: brand = 'a'}, b: {products: brand = 'b'}}}", "first.yaml")
    lists = load([first], ["lists.exclusions.a=null"]).settings.lists
    assert list(lists.rules()) == ["b"]


def test_of_two_counts_the_one_left_out_is_the_rest_of_the_list(conf):
    def repeats(text):
        return load([conf(f"lists: {{{text}}}")]).settings.lists.repeats(10)

    assert repeats("novel: 3") == 7
    assert repeats("repeat: 3") == 3
    assert repeats("novel: 4, repeat: 6") == 6
    assert repeats("mode: repeat") == 10
    assert repeats("mode: novel") is None
    assert repeats("mode: mixed") is None


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load([tmp_path / "nothing.yaml"])


@pytest.mark.parametrize("text", ["score.k", "=3", "score.k=[1"])
def test_a_set_option_without_key_or_value_is_refused(text):
    with pytest.raises(ConfigError, match="--set"):
        load(sets=[text])


def test_render_shows_every_value_with_its_origin(conf):
    path = conf("score: {k: 7}")
    lines = render(load([path])).splitlines()
    assert [line.split("#")[1].strip() for line in lines if line.strip().startswith("k: 7")] == [str(path)]
