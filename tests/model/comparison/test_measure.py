"""The figures of each protocol, computed by hand from the predictions of its runs on a tiny CLIP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import recall_score

from dfer_model.comparison.grid import Grid, Training, train_all
from dfer_model.comparison.measure import clips_for_transfer, few_shot, held_out_class, transfer
from dfer_model.comparison.protocols import check_training, training_for
from dfer_model.comparison.results import Answers
from dfer_model.data.packed import PackedClips
from dfer_model.errors import InputError
from dfer_model.runs import ClassTexts, Run

from .. import tiny

OTHER = ClassTexts("other", "cd" * 32, tiny.CLASSES, (("a blue door.",), ("nine nuts.",), ("old snow.",)))
TARGET_CLASSES = ("fear", "surprise", "happiness")


def silent(done: int, total: int, note: str = "") -> None:
    """Ignore progress."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def grid(
    texts: tuple[ClassTexts, ...] = (tiny.TEXTS, OTHER),
    seeds: tuple[int, ...] = (1, 2),
    folds: tuple[int, ...] = (1,),
    **changed: object,
) -> Grid:
    settings = tiny.settings(
        **{"clip": tiny.register(layers=1), "epochs": 1, "frames": 2, "temporal_depth": 0, "lr_image": 0.0}
        | changed
    )
    return Grid(settings, texts, folds, seeds)


def trained(training: Training, clips: PackedClips, runs: Path) -> list[Run]:
    check_training(training, clips)
    return train_all(training.specs(clips), clips, runs, silent, "cpu")


def test_held_out_recall_is_that_of_the_runs_without_the_class(clips: PackedClips, tmp_path: Path) -> None:
    training = training_for("held-out-class", grid((tiny.TEXTS,)), clips.class_names, ())
    runs = trained(training, clips, tmp_path)
    assert len(runs) == 3 * 2  # classes, seeds
    measured = held_out_class(training, runs, clips.class_names)
    (answers,) = measured.parts
    assert sorted(answers.labels) == sorted(clips.labels[clips.test_indices(1)])  # every clip once
    by_seed, seen_by_seed = [], []
    for seed in (1, 2):
        mine = [run for run in runs if run.seed == seed]
        recalls, seen = [], []
        for run in mine:
            assert run.settings.context_kind == "unified"
            labels, logits = run.predictions("last")[1:]
            every = recall_score(labels, logits.argmax(axis=1), average=None, labels=[0, 1, 2])
            out = clips.class_names.index(run.settings.held_out)
            recalls.append(every[out])
            seen.append(np.delete(every, out).mean())
        by_seed.append(100 * np.mean(recalls))
        seen_by_seed.append(100 * np.mean(seen))
    found = answers.correct["v1@2"] @ answers.uar
    assert found == pytest.approx(by_seed)
    assert measured.beside["seen_uar"]["v1@2"].mean == pytest.approx(np.mean(seen_by_seed))
    harmonic = [2 * a * b / (a + b) if a + b else 0.0 for a, b in zip(by_seed, seen_by_seed, strict=True)]
    assert measured.beside["harmonic_mean"]["v1@2"].mean == pytest.approx(np.mean(harmonic))
    of_class = measured.curves["recalls"]["v1@2"]
    assert np.mean([each.mean for each in of_class.values()]) == pytest.approx(np.mean(by_seed))


def test_few_shot_is_the_mean_over_shots_and_names_classes_with_fewer_clips(
    clips: PackedClips, tmp_path: Path
) -> None:
    training = training_for("few-shot", grid((tiny.TEXTS,)), clips.class_names, (0, 1, 4))
    runs = trained(training, clips, tmp_path)
    assert {(run.settings.shots, run.result["clips"]["train"]) for run in runs} == {(1, 3), (4, 6)}
    test = clips.test_indices(1)
    nothing = np.zeros((1, len(test)), dtype=bool)
    untrained = Answers(clips.labels[test], clips.folds[test], {"v1@2": nothing})
    measured = few_shot(training, runs, clips, untrained)
    curve = measured.curves["curve_uar"]["v1@2"]
    assert list(curve) == ["0", "1", "4"]
    by_hand = {
        shots: [
            run.measures("last").uar
            for run in runs
            if (run.texts.name, run.settings.shots) == ("v1@2", shots)
        ]
        for shots in (1, 4)
    }
    assert [each.mean for each in curve.values()] == pytest.approx(
        [0, np.mean(by_hand[1]), np.mean(by_hand[4])]
    )
    assert curve["1"].std == pytest.approx(np.std(by_hand[1], ddof=1))
    mean = measured.mean
    assert mean.correct["v1@2"] @ mean.uar == pytest.approx(np.mean([by_hand[1], by_hand[4]], axis=0))
    assert any("happiness 2, sadness 2, fear 2" in caveat for caveat in measured.caveats)
    assert few_shot(training, runs, clips, None).curves["curve_uar"]["v1@2"].keys() == {"1", "4"}


def test_transfer_predicts_every_clip_once_per_run_with_the_target_texts(
    clips: PackedClips, tmp_path: Path
) -> None:
    target = tiny.pack(tmp_path / "target", classes=TARGET_CLASSES, name="target", per_class=2)
    texts = [
        ClassTexts(each.name, each.sha256, TARGET_CLASSES, (each.texts[2], ("wide eyes.",), each.texts[0]))
        for each in (tiny.TEXTS, OTHER)
    ]
    training = training_for("transfer", grid(seeds=(1,), folds=(1, 2)), clips.class_names, ())
    runs = trained(training, clips, tmp_path / "runs")
    cache = tmp_path / "kept"
    measured = transfer(training, runs, target, texts, ["surprise"], cache, silent, "cpu")
    (answers,) = measured.parts
    assert answers.labels.tolist() == target.labels.tolist()
    assert answers.correct["v1@2"].shape == (2, len(target))  # two folds, one seed: two trainings
    assert measured.beside["new_uar"].keys() == {"v1@2", "other"}
    surprise = answers.correct["other"][:, answers.labels == 1]
    assert measured.beside["new_uar"]["other"].mean == pytest.approx(100 * surprise.mean())
    times = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    again = transfer(training, runs, target, texts, ["surprise"], cache, silent, "cpu")
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == times
    assert (again.parts[0].correct["v1@2"] == answers.correct["v1@2"]).all()


def test_the_test_clips_of_transfer(tmp_path: Path) -> None:
    assert len(clips_for_transfer(tiny.pack(tmp_path / "none", folds=0, per_class=2))) == 6
    assert len(clips_for_transfer(tiny.pack(tmp_path / "two", folds=2, per_class=2))) == 6


def test_a_protocol_that_does_not_apply_is_an_error(clips: PackedClips) -> None:
    with pytest.raises(InputError, match="three classes or more, and there are 2"):
        training_for("held-out-class", grid(), clips.class_names[:2], ())
    with pytest.raises(InputError, match="a linear classifier reads no texts"):
        training_for("supervised", grid(classifier="linear"), clips.class_names, ())
    alone = training_for("few-shot", grid(select="val"), clips.class_names, (1,))
    with pytest.raises(InputError, match="--select val"):
        check_training(alone, clips)


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ("supervised", "supervised: 4 trainings (2 sets x 1 fold x 2 seeds)"),
        ("few-shot", "few-shot: 8 trainings (2 sets x 1 fold x 2 seeds x 2 numbers of shots)"),
        (
            "held-out-class",
            "held-out-class: 12 trainings (2 sets x 1 fold x 2 seeds x 3 classes held out in turn)",
        ),
    ],
)
def test_a_protocol_reports_its_number_of_trainings(measure: str, message: str, clips: PackedClips) -> None:
    training = training_for(measure, grid(), clips.class_names, (0, 1, 2))
    assert (str(training), len(training.specs(clips))) == (message, int(message.split()[1]))
