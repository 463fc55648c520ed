"""The command line answers wrong use with one clear message and the right exit code."""

import json
from datetime import date

import pytest
from stand_ins import events_lake

from shelfcast.cli import main
from shelfcast.lake.ledger import Ledger


def test_config_as_json_names_the_origin_of_every_value(capsys):
    assert main(["config", "--json", "--set", "score.k=3"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["settings"]["score"]["k"] == 3
    assert document["origins"]["score.k"] == "--set score.k=3"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["weekly", "--set", "scor.k=3"], "scor is no key; did you mean score?"),
        (["weekly", "--as-of", "tomorrow"], "'tomorrow' is no date"),
        (["weekly", "--nonsense"], "No such option"),
        (["wekly"], "No such command"),
        (["config", "--conf", "nothing.yaml"], "does not exist"),
        (["train"], ""),
    ],
)
def test_wrong_use_exits_with_2(arguments, said, capsys):
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_a_table_nobody_knows_exits_with_2_and_the_nearest(tmp_path, capsys):
    assert main(["show", "forecast", "--lake", str(tmp_path)]) == 2
    assert "did you mean forecasts?" in capsys.readouterr().err


def test_a_table_not_yet_written_exits_with_1_and_says_what_to_do(tmp_path, capsys):
    assert main(["show", "forecasts", "--lake", str(tmp_path)]) == 1
    assert "run the step that writes it first" in capsys.readouterr().err


def test_tables_of_an_empty_lake_is_an_empty_list(tmp_path, capsys):
    assert main(["tables", "--json", "--lake", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == {"lake": str(tmp_path), "tables": [], "figures": {}}


def test_tables_with_personal_data_are_listed_apart(tmp_path, capsys):
    lake = events_lake(tmp_path)
    Ledger(lake).start("r1", "ingest", "*", "f")
    listed = {}
    for options in ([], ["--personal"]):
        assert main(["tables", "--json", "--lake", lake, *options]) == 0
        listed[len(options)] = [entry["table"] for entry in json.loads(capsys.readouterr().out)["tables"]]
    assert listed == {0: ["silver/events", "ops/runs"], 1: ["silver/events"]}


def test_show_prints_rows_for_machines(tmp_path, capsys):
    record = Ledger(str(tmp_path)).start("r1", "ingest", "*", "f")
    assert main(["show", "ops/runs", "--json", "--lake", str(tmp_path)]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["run_id"], row["step"], row["status"], row["attempt"]) == ("r1", "ingest", "running", record.attempt)


def test_maintain_tells_what_it_would_do(tmp_path, capsys):
    for day in (1, 2):
        Ledger(str(tmp_path)).publish(date(2017, 1, day), {"gold/forecasts": day}, "run")
    assert main(["maintain", "--dry-run", "--lake", str(tmp_path), "--json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["tables"]
    assert (table["table"], table["slices"], table["files"]) == ("ops/published", 1, 2)


def test_files_are_kept_for_a_week_at_least(capsys):
    assert main(["maintain", "--set", "maintenance.retain_days=3"]) == 2
    assert "maintenance.retain_days" in capsys.readouterr().err
