"""What each rank of a forecaster training does: choose the number of epochs on an earlier origin, refit, publish.

The same seed, ranks, threads, data, code and packages (all stored in the model's folder) give the same metrics: to the
last bit with one thread a rank and up to two ranks, whose sum does not depend on its order; to about 1e-4 of each
figure otherwise, because sums of more parts are rounded in the order in which they come.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from shelfcast.models import folder, forecaster
from shelfcast.models.calibration import Calibrations
from shelfcast.models.trained_forecaster import TrainedForecaster
from shelfcast.settings import Forecaster as Hyper
from shelfcast.train import versions
from shelfcast.train.checkpoint import Checkpoint
from shelfcast.train.collective import Collective
from shelfcast.train.earlier_origin import Validation
from shelfcast.train.forecaster_fit import Fit, share_of
from shelfcast.train.windows_share import Share, WindowsShare


@dataclass
class Progress:
    """What has been done, as far as a restart must know.

    Attributes:
        stage: 0 is the choice of epochs, 1 + m the refit of member m.
        epochs: finished in this stage.
        validations: of every epoch of the choice.
        losses: of every epoch, by stage.
        seconds: spent in epochs.
    """

    stage: int = 0
    epochs: int = 0
    validations: list[dict[str, Any]] = field(default_factory=list)
    losses: list[list[float]] = field(default_factory=list)
    seconds: float = 0.0

    def chosen(self) -> int | None:
        """Epochs with the least negative log-likelihood at the earlier origin; None if nothing was held out."""
        scores = [entry["nll"] for entry in self.validations if entry["targets"]]
        return 1 + scores.index(min(scores)) if scores else None


class Training:
    """All stages of one model on one rank."""

    def __init__(self, payload: dict[str, Any], share: Share, collective: Collective) -> None:
        self.payload, self.share, self.collective = payload, share, collective
        self.hyper = Hyper.model_validate(payload["hyper"])
        self.uri: str = payload["model"]
        self.checkpoint = Checkpoint(self.uri)
        self.logs: Path | None = folder.logs_folder(self.uri) if collective.first else None
        self.board = tf.summary.create_file_writer(str(self.logs)) if self.logs else None
        self.progress = Progress()

    def run(self) -> dict[str, Any]:
        """Train every stage that is not done and publish the folder. Returns metrics."""
        fit = self._begin(0)
        state = self.checkpoint.restore(self.collective, fit.variables)
        if state is not None:
            self.progress = Progress(**state)
            self.collective.say(
                f"forecaster: resuming at stage {self.progress.stage + 1}, after epoch {self.progress.epochs}"
            )
            if self.progress.stage:
                fit = self._begin(self.progress.stage)
                self.checkpoint.restore(self.collective, fit.variables)
        while True:
            self._stage(fit)
            self._keep(fit)
            if self.progress.stage == self.hyper.seeds:
                break
            self.progress.stage, self.progress.epochs = self.progress.stage + 1, 0
            fit = self._begin(self.progress.stage)
        return self._publish(fit)

    def _begin(self, stage: int) -> Fit:
        held_out = self.share.horizon if stage == 0 else 0
        keras.backend.clear_session()
        seed = self.payload["seed"] + max(stage - 1, 0)
        chosen = self.progress.chosen() if stage else None
        return Fit(self.share, self.hyper, seed, held_out, self.collective, chosen)

    def _stage(self, fit: Fit) -> None:
        choosing = self.progress.stage == 0
        wanted = (None if choosing else self.progress.chosen()) or fit.epochs
        if fit.steps == 0:
            return
        for number in range(self.progress.epochs + 1, wanted + 1):
            loss, seconds = fit.epoch(number)
            while len(self.progress.losses) <= self.progress.stage:
                self.progress.losses.append([])
            self.progress.losses[self.progress.stage].append(loss)
            self.progress.seconds += seconds
            self.progress.epochs = number
            found = fit.validate() if choosing else None
            if found is not None:
                self.progress.validations.append(asdict(found))
            self._tell(number, wanted, loss, seconds, found)
            self.checkpoint.save(self.collective, fit.variables, asdict(self.progress))

    def _tell(self, number: int, wanted: int, loss: float, seconds: float, found: Validation | None) -> None:
        what = "choosing epochs" if found else f"fitting member {self.progress.stage} of {self.hyper.seeds}"
        held = f", earlier origin {found.nll:.4f} (WAPE {found.wape:.3f})" if found and found.targets else ""
        self.collective.say(
            f"forecaster: {what}, epoch {number} of {wanted}: likelihood loss {loss:.4f}{held}, {seconds:.0f} s"
        )
        if self.board is not None:
            with self.board.as_default():
                tf.summary.scalar(f"stage_{self.progress.stage}/train_nll", loss, step=number)
                if found:
                    tf.summary.scalar("earlier_origin/nll", found.nll, step=number)
                    tf.summary.scalar("earlier_origin/wape", found.wape, step=number)
                    tf.summary.scalar("earlier_origin/bias", found.bias, step=number)

    def _keep(self, fit: Fit) -> None:
        """Rank 0 stores a finished member, for the folder and for a restart."""
        member = self.progress.stage - 1
        if member >= 0 and self.collective.first:
            arrays = {str(index): variable.numpy() for index, variable in enumerate(fit.network.weights)}
            folder.put(folder.partial(self.uri), f"member_{member}.npz", folder.encode_arrays(arrays))

    def _publish(self, fit: Fit) -> dict[str, Any]:
        chosen = self.progress.chosen()
        at_choice = self.progress.validations[chosen - 1] if chosen else None
        rows = int(self.collective.sum(len(fit.windows)))
        metrics = {
            "epochs": chosen or fit.epochs,
            "windows": rows,
            "ranks": self.collective.size,
            "seconds": round(self.progress.seconds, 1),
            "earlier_origin": at_choice,
            "losses": self.progress.losses,
            "min_sale_periods": self.share.least_sales,
        }
        if not self.collective.first:
            return metrics
        if self.board is not None:
            self.board.close()
        trained = TrainedForecaster(
            self._members(fit), self.share.vocabularies, self.share.norm, self.share.inputs,
            Calibrations.of(at_choice["calibrations"]) if at_choice else Calibrations(),
            at_choice["correlation"] if at_choice else 0.0, self.share.context, self.share.horizon,
        )  # fmt: skip
        files = trained.files() | {
            "metrics.json": folder.encode_json(metrics),
            "settings.json": folder.encode_json({"hyper": self.payload["hyper"], "seed": self.payload["seed"]}),
            "inputs.json": folder.encode_json(self.payload["inputs"]),
            "versions.json": folder.encode_json(versions.versions(self.payload.get("made_of", {}))),
        }
        folder.publish(self.uri, files, logs=self.logs)
        return metrics

    def _members(self, fit: Fit) -> list[Any]:
        networks = []
        for member in range(self.hyper.seeds):
            data = folder.get(folder.partial(self.uri), f"member_{member}.npz")
            if data is None:
                raise FileNotFoundError(f"{folder.partial(self.uri)}/member_{member}.npz")
            arrays = folder.decode_arrays(data)
            network = forecaster.built(fit.network.shape, seed=0)
            network.set_weights([arrays[str(index)] for index in range(len(arrays))])
            networks.append(network)
        return networks


def work(payload: dict[str, Any], collective: Collective) -> dict[str, Any]:
    """Entry of the launcher.

    Args:
        payload: lake, version (of gold/windows), chains (grain → cutoffs as ISO dates, the newest last), model (URI),
            hyper (section forecaster of the configuration), seed, inputs and made_of (stored with the model).

    Returns:
        metrics, JSON-able.
    """
    reader = WindowsShare(payload["lake"], payload["version"], payload["chains"], collective)
    hyper = Hyper.model_validate(payload["hyper"])
    if len(payload["chains"]) > 1:  # series of several grains share one network, which must tell them apart
        hyper = hyper.model_copy(update={"embeddings": {"grain": 2, **hyper.embeddings}})
        payload = payload | {"hyper": hyper.model_dump(mode="json")}
    share = share_of(reader, hyper)
    return Training(payload, share, collective).run()
