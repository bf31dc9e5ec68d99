"""The page's view of a workspace: comparisons and runs by name, and predictions for videos."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from dfer_model.data.images import decode_pixels
from dfer_model.training.loop import train_run
from dfer_prompts import (
    DescriptionStore,
    InputError,
    Interrupted,
    Workspace,
    explain,
    facs_set,
    load_class_set,
    predict,
    train,
)
from dfer_prompts.api import video_view
from dfer_prompts.api.run_index import comparisons, finished, finished_run_named, finished_runs
from dfer_prompts.api.video_view import VideoPredictors, default_model, model_choices

from ..cli.test_predict import write
from ..model import tiny
from ..stored_comparisons import store


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Three seeds of a tiny training."""
    folder = tmp_path_factory.mktemp("shown")
    clips = tiny.pack(folder / "packed")
    for seed in (1, 2, 3):
        train_run(tiny.spec(clips, seed=seed, epochs=1), clips, folder / "runs", device="cpu")
    return Workspace(folder)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds: noise of one colour, then of another."""
    rng = np.random.default_rng(0)
    frames = [
        decode_pixels(tiny.png(tiny.COLOURS["happiness" if at < 20 else "fear"], rng, 64)) for at in range(40)
    ]
    return write(tmp_path_factory.mktemp("video") / "two.mkv", frames)


def test_a_shown_video_has_the_predictions_of_predict_and_a_face_per_window(
    workspace: Workspace, video: Path
) -> None:
    first, second, _ = (each.id for each in finished_runs(workspace))
    predictors = VideoPredictors(workspace, "cpu")
    for name in (first, second, first):  # the last from what was kept
        shown = predictors.show(name, video, name="two", faces="none", window=1.0, stride=0.5)
        predictions = predict(
            name, [video], faces="none", window=1.0, stride=0.5, workspace=workspace, device="cpu"
        )
        assert [each.probabilities for each in shown.predictions] == [
            each.probabilities for each in predictions
        ]
        assert len({each.start for each in predictions}) == 7
        assert [each.prediction for each in shown.moments] == list(shown.predictions)
        first, last = (decode_pixels(shown.moments[place].face).mean(axis=(0, 1)) for place in (0, -1))
        assert first.argmax() == 0  # red while it is happiness, green while it is fear
        assert last.argmax() == 1
        means = np.mean([[each.probabilities[cls] for cls in tiny.CLASSES] for each in predictions], axis=0)
        assert dict(shown.means) == pytest.approx(dict(zip(tiny.CLASSES, means, strict=True)))
        assert shown.means[0][1] == pytest.approx(means.max())
        assert shown.timeline
        assert "two" in shown.timeline
        assert shown.problem is None


def test_a_shown_video_is_explained_without_reading_it_again(tmp_path: Path, video: Path) -> None:
    workspace, clips = Workspace(tmp_path), tiny.pack(tmp_path / "packed")
    small = ["frames=4", "contexts=2", "batch_size=4", "workers=0"]
    clip = {"clip": tiny.register(), "weights": "random", "epochs": 1, "overrides": small}
    run = train("v1@2", dataset=clips, workspace=workspace, device="cpu", **clip)
    upload = shutil.copy(video, tmp_path / "upload.mkv")
    how = {"faces": "none", "window": 1.0, "stride": 0.5}
    expected = explain(run, upload, workspace=workspace, device="cpu", **how)
    predictors = VideoPredictors(workspace, "cpu")
    shown = predictors.show(run.id, upload, **how)
    upload.unlink()
    found = predictors.explain(shown, tmp_path / "why.svg")
    assert found is not None
    assert found.prediction == expected.prediction
    assert found.explanation.as_dict() == expected.explanation.as_dict()
    assert found.notes[0] == "the most confident of 7 windows"
    assert (tmp_path / "why.svg").stat().st_size > 1000
    assert predictors.explain(predictors.show(run.id, video, faces="haar")) is None


def test_an_exception_of_the_progress_stops_the_work(workspace: Workspace, video: Path) -> None:
    reports: list[int] = []

    @contextmanager
    def stop(_stage: str) -> Iterator[Callable[..., None]]:
        def report(done: int, _total: int, _note: str = "") -> None:
            reports.append(done)
            if done == 3:
                raise Interrupted("stopped")

        yield report

    with pytest.raises(Interrupted, match="stopped"):
        VideoPredictors(workspace, "cpu").show(
            finished_runs(workspace)[0].id, video, faces="none", progress=stop
        )
    assert reports == [1, 2, 3]


def test_a_shown_description_set_has_the_predictions_of_predict(tmp_path: Path, video: Path) -> None:
    (tmp_path / "dfer.yaml").write_text("preset: demo\n")
    workspace = Workspace(tmp_path)
    DescriptionStore(workspace).save(facs_set(load_class_set("dfew")), "facs")
    assert model_choices(workspace) == [
        ("facs (zero-shot)", "descriptions/facs"),
        ("v1 (zero-shot)", "descriptions/v1"),
        ("v1 (demo CLIP, drawn faces)", "demo/descriptions/v1"),
    ]
    assert default_model(workspace) == "demo/descriptions/v1"
    predictors = VideoPredictors(workspace, "cpu")
    shown = predictors.show("descriptions/facs", video, faces="none")
    (prediction,) = predict("facs", video, faces="none", workspace=workspace, device="cpu")
    assert shown.predictions == (prediction,)
    assert any(note.startswith("Zero-shot: demo (shipped) with the texts of facs") for note in shown.notes)
    assert any("trained on drawn faces" in note for note in shown.notes)
    explained = predictors.explain(shown)
    assert explained is not None
    assert (explained.descriptions, explained.prediction) == ("facs", prediction)
    for name in (
        "descriptions/../runs",
        "descriptions/v9",
        "descriptions/",
        "descriptions/v1@2",
        "v1",
        "demo/v1",
    ):
        with pytest.raises(InputError, match="There are: "):
            predictors.show(name, video, faces="none")


def test_at_most_two_models_stay_loaded(
    workspace: Workspace, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = video_view.video_predictor
    monkeypatch.setattr(
        video_view, "video_predictor", lambda name, **how: (loaded.append(name), load(name, **how))[1]
    )
    first, second, third = (each.id for each in finished_runs(workspace))
    predictors = VideoPredictors(workspace, "cpu")
    for name in (first, second, first, first, third, first, second):
        assert predictors.show(name, video, faces="haar").predictions == ()  # there is no face in it
    assert loaded == [first, second, third, second]


def test_faces_of_many_windows_are_evenly_spaced(workspace: Workspace, video: Path) -> None:
    name = finished_runs(workspace)[0].id
    shown = VideoPredictors(workspace, "cpu").show(name, video, faces="none", window=0.2, stride=0.1)
    starts = [each.prediction.start or 0 for each in shown.moments]
    assert len(starts) == video_view.MOST_MOMENTS < len(shown.predictions)
    assert starts[0] == shown.predictions[0].start
    assert starts[-1] == shown.predictions[-1].start
    places = [[each.start for each in shown.predictions].index(start) for start in starts]
    assert set(np.diff(places)) == {1, 2}


@pytest.mark.parametrize("name", ["..", "../runs", "../../etc", "v1", "", "{folder}/runs/{run}", "./{run}"])
def test_a_part_of_an_id_or_a_path_is_not_a_run(workspace: Workspace, video: Path, name: str) -> None:
    run = finished_runs(workspace)[0].id
    given = name.format(folder=workspace.root, run=run)
    for refuse in (finished_run_named, finished):
        with pytest.raises(InputError, match="There are: "):
            refuse(given, workspace)
    with pytest.raises(InputError, match="no finished run"):
        VideoPredictors(workspace, "cpu").show(given, video, faces="none")
    assert finished_run_named(run, workspace) == finished(run, workspace).id == run


def test_comparisons_are_listed_with_their_results(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert (comparisons(workspace), finished_runs(workspace)) == ([], [])
    folder = store(tmp_path, ["v1@2", "v1@4"], ["control:scrambled"], seeds=(1,))
    (compared,) = comparisons(workspace)
    assert compared.id == folder.name
    assert compared.is_comparison
    assert compared.what == "v1@2, v1@4, control:scrambled on faces (2 folds, 1 seed)"
    assert any("v1@4" in line for line in compared.found)
    (folder / "comparison.json").write_text("{")
    damaged = tmp_path / "comparisons" / "other"
    damaged.mkdir()
    (damaged / "comparison.json").write_text('{"sets": 1}')
    assert len(comparisons(workspace)) > 1
    for each in comparisons(workspace):
        assert "is damaged" in each.what or "does not hold" in each.what
