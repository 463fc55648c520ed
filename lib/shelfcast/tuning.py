"""``shelfcast tune forecaster``: a search over the declared space, cross-validated on rolling origins.

Trials are chosen by the tree-structured Parzen estimator (Bergstra et al. 2011, Algorithms for hyper-parameter
optimization; Optuna's multivariate form) and stopped after an origin at which they are worse than the median of the
others. The journal of a search lies with its results in the lake, so the same search goes on where it ended.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import ValidationError
from rich.table import Table

from shelfcast.errors import ConfigError
from shelfcast.lake.step import content_id
from shelfcast.measured import Measured
from shelfcast.models import folder
from shelfcast.pipeline import Listener
from shelfcast.settings import Forecaster, Searched, Settings
from shelfcast.trials import METRICS, Rolling, mean, rolling

_JOURNAL, _BEST = "journal.log", "best.yaml"
_BEFORE_PRUNING = 5  # whole trials


def tune(settings: Settings, origins: Sequence[date], trials: int | None, listener: Listener) -> Measured:
    """Search until ``trials`` (``tuning.trials`` if None) have been made, earlier ones of the same search counted.

    The shipped configuration is the first trial. The best has the lowest mean negative log-likelihood over the origins
    (``tuning.origins`` if none is given).

    Raises:
        ConfigError: if the space names no key of the section forecaster or a value that it refuses, and as
            ``trials.rolling`` does.
    """
    check(settings)
    rolled = rolling(settings, list(origins) or list(settings.tuning.origins), listener)
    document = Search(settings, rolled, listener).run(settings.tuning.trials if trials is None else trials)
    return Measured([_table(document)], document)


def check(settings: Settings) -> None:
    """That every searched value is one that the section forecaster takes."""
    given = settings.forecaster.model_dump(mode="json")
    for key, searched in settings.tuning.space.items():
        if key not in given:
            raise ConfigError(f"tuning.space.{key}: the section forecaster has no key {key}; it has {', '.join(given)}")
        for value in searched.choices if searched.choices is not None else (searched.low, searched.high):
            try:
                Forecaster.model_validate(given | {key: value})
            except ValidationError as error:
                raise ConfigError(f"tuning.space.{key}: {value!r} is refused: {error.errors()[0]['msg']}") from error


class Search:
    """One search: a study of Optuna with its results in ``<lake>/models/tuning/<id>``.

    The id is made of the space, the origins, all of the configuration that is not searched, and the data.
    """

    def __init__(self, settings: Settings, rolled: Rolling, listener: Listener) -> None:
        self.settings, self.rolled, self.listener = settings, rolled, listener
        space = settings.tuning.model_dump(mode="json", exclude={"trials", "origins"})
        hyper = settings.forecaster.model_dump(mode="json")
        declared = {
            "tuning": space, "forecaster": hyper, "seed": settings.seed, "ranks": settings.train.ranks,
            "origins": {day.isoformat(): back for day, back in rolled.origins.items()}, "data": rolled.data,
        }  # fmt: skip
        self.id = content_id(declared)[:16]
        self.uri = folder.model_uri(settings.lake, "tuning", self.id)
        self.declared = declared

    def run(self, trials: int) -> dict[str, Any]:
        """Make trials until there are as many; all is stored after each, so that only an unfinished one can be lost.

        Returns:
            the document of the search.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        folder.put(self.uri, "space.json", folder.encode_json(self.declared))
        with tempfile.TemporaryDirectory(prefix="shelfcast-tuning-") as place:
            journal = Path(place) / _JOURNAL
            journal.write_bytes(folder.get(self.uri, _JOURNAL) or b"")
            study = self._study(JournalStorage(JournalFileBackend(str(journal))))
            document = self._document(study)
            for _ in range(len(study.trials) - len(_waiting(study)), trials):
                study.optimize(self._objective, n_trials=1)
                document = self._document(study)
                folder.put(self.uri, _JOURNAL, journal.read_bytes())
                folder.put(self.uri, "trials.json", folder.encode_json(document))
                folder.put(self.uri, _BEST, yaml.safe_dump(document["best"]["conf"], sort_keys=False).encode())
        return document

    def _study(self, storage: JournalStorage) -> optuna.Study:
        study = optuna.create_study(study_name=self.id, storage=storage, load_if_exists=True)
        made = len(study.trials)
        # Another seed for each resumption, else the sampler would begin with the same values again.
        study.sampler = optuna.samplers.TPESampler(
            seed=self.settings.seed + made, n_startup_trials=self.settings.tuning.random_trials, multivariate=True
        )
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=_BEFORE_PRUNING)
        shipped = self._in_space(self.settings.forecaster)
        if not made and shipped is not None:
            study.enqueue_trial(shipped)
        return study

    def _in_space(self, hyper: Forecaster) -> dict[str, Any] | None:
        """Optuna's parameters of a configuration; None if the space does not hold it."""
        given, found = hyper.model_dump(mode="json"), {}
        for key, searched in self.settings.tuning.space.items():
            value = given[key]
            if searched.choices is not None:
                inside, value = value in searched.choices, json.dumps(value)
            else:
                inside = value is not None and searched.low <= value <= searched.high
            if not inside:
                return None
            found[key] = value
        return found

    def _objective(self, trial: Trial) -> float:
        """Mean negative log-likelihood over the origins.

        What is reported after each origin, for pruning, is the mean difference to the shipped configuration so far:
        origins themselves differ by more than configurations do.
        """
        changed = {key: _suggested(trial, key, one) for key, one in self.settings.tuning.space.items()}
        hyper = _with(self.settings.forecaster, changed)
        figures: list[dict[str, Any]] = []
        apart = 0.0
        for step, origin in enumerate(self.rolled.origins):
            figures.append(self._score(f"trial {trial.number + 1}", hyper, origin))
            trial.set_user_attr("origins", {**trial.user_attrs.get("origins", {}), origin.isoformat(): figures[-1]})
            apart += figures[-1]["nll"] - self._score("shipped", self.settings.forecaster, origin)["nll"]
            trial.report(apart / (step + 1), step)
            if step + 1 < len(self.rolled.origins) and trial.should_prune():
                raise optuna.TrialPruned
        return mean(figures, "nll")

    def _score(self, name: str, hyper: Forecaster, origin: date) -> dict[str, Any]:
        return self.rolled.score(hyper, origin, self.listener.begin(f"tune, {name}", origin.isoformat()))

    def _document(self, study: optuna.Study) -> dict[str, Any]:
        """Every trial, the best one as a configuration, and the shipped configuration's figures beside it."""
        trials = [_row(trial) for trial in study.trials if trial.state != TrialState.WAITING]
        whole = [row for row in trials if row["state"] == "complete"]
        best = min(whole, key=lambda row: row["nll"], default=None)
        shipped = [self._score("shipped", self.settings.forecaster, origin) for origin in self.rolled.origins]
        found = {metric: mean(shipped, metric) for metric in METRICS}
        chosen = _with(self.settings.forecaster, best["parameters"] if best else {})
        return {
            "bench": "tuning",
            "ratio": best["wape"] / found["wape"] if best else None,
            "id": self.id,
            "folder": self.uri,
            "best": {
                **(best or {}), "file": f"{self.uri}/{_BEST}", "conf": {"forecaster": chosen.model_dump(mode="json")},
            },
            "shipped": found,
            "origins": [day.isoformat() for day in self.rolled.origins],
            "trials": trials,
        }  # fmt: skip


def _suggested(trial: Trial, key: str, searched: Searched) -> Any:
    """The sampler's next value; listed values travel as JSON, because Optuna takes no lists."""
    low, high = searched.low, searched.high
    if low is None or high is None:
        return json.loads(trial.suggest_categorical(key, [json.dumps(value) for value in searched.choices or ()]))
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high, log=searched.log)
    return trial.suggest_float(key, low, high, log=searched.log)


def _with(hyper: Forecaster, changed: Mapping[str, Any]) -> Forecaster:
    return Forecaster.model_validate(hyper.model_dump(mode="json") | dict(changed))


def _waiting(study: optuna.Study) -> list[FrozenTrial]:
    return [trial for trial in study.trials if trial.state == TrialState.WAITING]


def _row(trial: FrozenTrial) -> dict[str, Any]:
    """A trial for people and machines; figures are means over the origins it was tried at."""
    listed = trial.user_attrs.get("origins", {})
    parameters = {key: json.loads(value) if isinstance(value, str) else value for key, value in trial.params.items()}
    row = {"trial": trial.number + 1, "state": trial.state.name.lower(), "parameters": parameters, "origins": listed}
    return row | ({metric: mean(list(listed.values()), metric) for metric in METRICS} if listed else {})


def _table(document: Mapping[str, Any]) -> Table:
    """A row per trial, the best first; stopped ones last."""
    best, shipped = document["best"], document["shipped"]
    title = f"Search {document['id']}: means over the origins {', '.join(document['origins'])}"
    caption = f"shipped: NLL {shipped['nll']:.4f}, WAPE {shipped['wape']:.4f}. Chosen: --conf {best['file']}"
    table = Table(title=title, caption=caption)
    for head in ("trial", "NLL", "WAPE", "RMSE", "bias"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("parameters", overflow="fold")
    rows = [row for row in document["trials"] if row["origins"]]
    for row in sorted(rows, key=lambda row: (row["state"] != "complete", row["nll"])):
        state = "" if row["state"] == "complete" else f" {row['state']}"
        said = ", ".join(f"{key} {_short(value)}" for key, value in row["parameters"].items())
        table.add_row(
            f"{row['trial']}{state}", f"{row['nll']:.4f}", f"{row['wape']:.4f}", f"{row['rmse']:.3f}",
            f"{row['bias']:+.3f}", said, style="bold" if row["trial"] == best.get("trial") else None,
        )  # fmt: skip
    return table


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
