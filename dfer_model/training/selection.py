"""Evaluation within a training: choosing the best epoch, evaluating the test fold, finishing the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dfer_model.checkpoints import Best, copy_weights, save_weights
from dfer_model.data.joined import JoinedClips
from dfer_model.devices import device_name, inference_precision
from dfer_model.evaluation.cost import model_cost
from dfer_model.evaluation.evaluate import measures_by_dataset, predict_logits
from dfer_model.evaluation.trained_model import TrainedModel
from dfer_model.metrics import measures
from dfer_model.progress import Report, silent
from dfer_model.runs import Predictions, Run

from .run_writer import Outcome, finish_run
from .setup import Training

CHOOSING = {"val": "the validation clips", "test-best": "the test fold"}


def current_model(training: Training) -> TrainedModel:
    """The model with its current weights in evaluation mode, and its class weights."""
    model, settings = training.model, training.settings
    model.eval()
    with torch.no_grad(), inference_precision(settings.precision, training.device):
        class_weights = model.class_weights()
    return TrainedModel(model, class_weights, training.scale, training.base.image_size)


def predict(
    training: Training, model: TrainedModel, indices: npt.NDArray[np.int64], report: Report = silent
) -> Predictions:
    """The predictions of `model` for the clips at `indices`; each of several processes computes its share."""
    clips, processes = training.clips, training.processes
    own = indices[processes.share(len(indices))]
    logits = np.zeros((0, len(clips.class_names)), np.float32)
    if len(own):
        settings = training.settings.model_copy(update={"workers": training.workers})
        logits = predict_logits(model, clips, own, settings, training.device, report, training.test_batches)
    logits = processes.gathered(logits, len(indices))
    return Predictions([clips.clip_ids[index] for index in indices], clips.labels[indices], logits)


def evaluate_epoch(
    training: Training, epoch: int, best: Best | None, report: Report = silent
) -> tuple[dict[str, float], Best]:
    """Evaluate the clips that select the epoch; return their measures and the best epoch so far.

    The best epoch has the highest WAR, the first one on ties, as in the released code. Its weights are saved.
    """
    model, settings = current_model(training), training.settings
    by_test = settings.select == "test-best"
    message = f"epoch {epoch}: evaluating {CHOOSING[settings.select]}"

    def evaluating(done: int, total: int, _: str = "") -> None:
        place = training.epochs_done(epoch, len(training.batches), done / total)
        report(place, settings.epochs, f"{message}, clip {done} of {total}" if done else message)

    evaluating(0, 1)
    chosen_by = predict(training, model, training.test if by_test else training.learning.val, evaluating)
    measured = measures(chosen_by.labels, chosen_by.logits.argmax(axis=1), training.clips.class_names)
    if best is None or measured.war > best.war:
        tested = chosen_by if by_test else predict(training, model, training.test)
        best = Best(epoch, measured.war, torch.from_numpy(tested.logits))
        if training.processes.first:
            save_weights(best_weights(training, epoch), training.model, model.class_weights)
    return {"uar": measured.uar, "war": measured.war}, best


def best_weights(training: Training, epoch: int) -> Path:
    """The file for the weights of `epoch` if it is the best so far.

    Each epoch has its own file: if the process is killed between writing weights and checkpoint, the previous
    checkpoint still finds the weights it refers to.
    """
    return training.folder / "state" / f"best-{epoch}.safetensors"


def remove_weights_except(training: Training, best: Best | None) -> None:
    """Remove the saved weights of all epochs but the best."""
    for path in training.folder.glob("state/best-*.safetensors"):
        if best is None or path != best_weights(training, best.epoch):
            path.unlink()


def finish(training: Training, report: Report = silent) -> None:
    """Evaluate the last epoch on the test fold and write weights, predictions, figures and card.

    result.json, which marks the run as finished, is written last.
    """
    trained, epochs = current_model(training), training.settings.epochs

    def evaluating(done: int, total: int, _: str = "") -> None:
        report(epochs, epochs, f"evaluating the test fold, clip {done} of {total}")

    last = predict(training, trained, training.test, evaluating)
    if not training.processes.first:
        return
    weights = training.folder / "model.safetensors"
    outcomes = {"last": Outcome(epochs, last)}
    best = training.progress.best
    if best is None:
        save_weights(weights, training.model, trained.class_weights)
    else:
        copy_weights(best_weights(training, best.epoch), weights)
        chosen = Outcome(best.epoch, last._replace(logits=best.logits.numpy()))
        outcomes = {training.settings.select: chosen, **outcomes}
    finish_run(training.folder, outcomes, _facts(training) | _by_dataset(training, outcomes))
    training.tracking.result(Run.open(training.folder).result)


def _by_dataset(training: Training, outcomes: dict[str, Outcome]) -> dict[str, Any]:
    """The entry of result.json on each of several datasets: its clips, and its measures by selection."""
    clips, learning = training.clips, training.learning
    if not isinstance(clips, JoinedClips):
        return {}
    uses = {"train": learning.train, "val": learning.val, "test": training.test}
    counts = {
        use: np.bincount(clips.dataset_of[each], minlength=len(clips.names)) for use, each in uses.items()
    }
    measured = {
        selection: measures_by_dataset(clips, training.test, outcome.predictions, clips.class_names)
        for selection, outcome in outcomes.items()
    }
    return {
        "datasets": {
            name: {
                "clips": {use: int(count[number]) for use, count in counts.items()},
                "measures": {key: of[name].as_dict() for key, of in measured.items() if name in of},
            }
            for number, name in enumerate(clips.names)
        }
    }


def _facts(training: Training) -> dict[str, Any]:
    """The entries of result.json beside the measures."""
    settings, learning, notes = training.settings, training.learning, list(training.spec.notes)
    if not settings.epochs:
        notes.append("no epochs: nothing was trained, predictions are those of the initial model")
    if settings.epochs and training.batch_size < settings.batch_size:
        notes.append(
            f"the fold has {len(learning.train)} training clips, fewer than batch_size="
            f"{settings.batch_size}: each step used all of them"
        )
    return {
        "clips": {"train": len(learning.train), "val": len(learning.val), "test": len(training.test)},
        "device": training.processes.of(device_name(training.device)),
        "precision": settings.precision,
        "notes": notes,
        "cost": _cost(training),
    }


def _cost(training: Training) -> dict[str, Any] | None:
    """Parameters and FLOPs of the model; None for a model that cannot be counted."""
    try:
        return model_cost(training.model, training.settings, training.base.image_size).as_dict()
    except Exception:  # noqa: BLE001 - a count must not keep a trained run from finishing
        return None
