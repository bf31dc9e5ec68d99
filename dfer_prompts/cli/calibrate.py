"""`dfer-prompts calibrate`: temperature scaling of a finished run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import DeviceOption
from .output import JsonOption, message, print_json, print_table, progress
from .train import RunArgument

if TYPE_CHECKING:
    from ..api.calibrate import CalibratedRun


def calibrate(
    context: typer.Context,
    run: RunArgument,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Other packed clips to fit on, or a name from dfer.yaml.",
            show_default="clips of the training folds not used in training",
        ),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option(min=1, help="Use only this fold of --dataset.", show_default=False),
    ] = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Fit temperature scaling to a run's probabilities and store the temperature with the run.

    Predicted classes stay the same; `predict` and `evaluate` then report calibrated probabilities.

    Example: dfer-prompts calibrate v2-fold1
    """
    from ..api.calibrate import calibrate as calibrate_run

    calibrated = calibrate_run(
        run,
        dataset,
        fold=fold,
        workspace=context.obj,
        device=device,
        progress=progress,
        note=lambda text: message(f"Note: {text}"),
    )
    if as_json:
        print_json(calibrated.as_dict())
        return
    _show(calibrated)


def _show(calibrated: CalibratedRun) -> None:
    rows = [
        (
            each.clips_are,
            each.before.clips,
            each.before.calibration_error,
            each.after.calibration_error,
            each.before.likelihood_loss,
            each.after.likelihood_loss,
        )
        for each in (calibrated.fitted, calibrated.judged)
        if each is not None
    ]
    columns = ["on", "clips", "error before (%)", "after (%)", "log-loss before", "after"]
    print_table(f"{calibrated.run}: temperature {calibrated.calibration.temperature:.3g}", columns, rows)
    message(f"Stored in {calibrated.folder}: calibration.json, reliability.png and reliability.svg")


def register(app: typer.Typer) -> None:
    """Add `calibrate` to the root command."""
    app.command(short_help="Fit the temperature of a run's probabilities.")(calibrate)
