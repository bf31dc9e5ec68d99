"""`dfer-prompts demo`: the whole workflow on drawn faces, without key, GPU or download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import DferError, Interrupted
from ..workspace import Workspace
from .output import message, print_table, progress

if TYPE_CHECKING:
    from dfer_model.comparison.record import ComparisonRecord
    from dfer_model.data.packed import PackedClips
    from dfer_model.runs import Run

    from ..description_set import DescriptionSet
    from ..versions.store import DescriptionStore

CLIPS = 220
# The demo preset was tuned on faces of another seed.
SEED = 11
FOLDS = (1,)

OutOption = Annotated[Path, typer.Option("--out", help="Folder for the demo's files.")]


def demo(context: typer.Context, out: OutOption = Path("demo")) -> None:
    """Descriptors, clips, training, comparison and prediction in a few minutes.

    A second call resumes the first and reuses finished runs.

    Example: dfer-prompts demo --out demo
    """
    from dfer_model.devices import use_one_thread

    from ..versions.store import DescriptionStore

    use_one_thread()
    outer: Workspace = context.obj
    folder = outer.root / out
    folder.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(folder)
    store = DescriptionStore(workspace)

    chapter(1, "The descriptions of the paper: the shipped version v1")
    show_descriptions(store.load("v1"))
    chapter(2, "Other versions: answers of a language model, and FACS")
    others = other_versions(outer, workspace, store)
    chapter(3, "Clips: drawn faces whose expressions are composed of action units")
    clips = drawn_clips(folder)
    chapter(4, "Is one description set better than another? Zero-shot and trained")
    result = compared(workspace, clips, ["v1@4", *(f"{name}@4" for name in others)])
    chapter(5, "Predict the expression in a video, and explain it")
    # Runs are ordered by fold, then by set.
    position = [each.name for each in result.texts].index("v1@4")
    predicted(workspace, clips, store.load("v1@4"), result.runs[position])
    chapter(6, "Files of the demo, and what to do next")
    message(LEFT.format(folder=folder, comparison=result.folder.name))


LEFT = """{folder}/
  descriptions/       the new description sets: each a dataset with its card and manifest
  clips/              the drawn faces, packed; faces.png shows some of them
  runs/               a folder per training: weights, predictions, model card, confusion matrix
  comparisons/{comparison}/comparison.json   the tables above
  held-out.mp4        the clip of chapter 5

With your own data:
  dfer-prompts generate --classes mafw       (with OPENAI_API_KEY, or --base-url of a local server)
  dfer-prompts data prepare mafw --root MAFW --out packed/mafw
  dfer-prompts compare v1@4 v2@4 --controls --dataset packed/mafw       (CLIP ViT-B/32, as in the paper)"""


def chapter(number: int, title: str) -> None:
    """Print a heading."""
    message(f"\n{number}. {title}")


def show_descriptions(descriptions: DescriptionSet) -> None:
    """Print each class with its description."""
    rows = [(name, descriptions.description(name)) for name in descriptions.class_names]
    print_table(f"{descriptions.name} ({descriptions.manifest.source})", ["class", "description"], rows)


def other_versions(outer: Workspace, workspace: Workspace, store: DescriptionStore) -> list[str]:
    """The names of a version from a language model, unless its server fails, and one from FACS.

    The user's server is used if one is configured, else the demo language model. Versions of an earlier demo
    are reused.
    """
    made = []
    for name in ("v2", "facs"):
        descriptions: DescriptionSet | None
        if (workspace.descriptions / name).is_dir():
            message(f"{name} exists from an earlier demo.")
            descriptions = store.load(name)
        elif name == "facs":
            descriptions = _from_facs(store)
        else:
            descriptions = _from_language_model(outer, workspace, store)
        if descriptions is not None:
            show_descriptions(descriptions)
            made.append(name)
    return made


def _from_language_model(
    outer: Workspace, workspace: Workspace, store: DescriptionStore
) -> DescriptionSet | None:
    from ..classes import load_class_set
    from ..generation.plan import RequestOptions, plan_for
    from ..generation.run import ask_and_rank
    from ..llm.endpoint import DEMO_MODEL, is_configured, resolve_endpoint
    from ..llm.response_cache import ResponseStore
    from ..templates import load_template
    from .llm_progress import confirmed_url, request_progress

    try:
        if is_configured(outer):
            endpoint = resolve_endpoint(outer, confirmed_url(outer, None))
            message(f"Querying the configured {endpoint.model} at {endpoint.base_url}.")
        else:
            endpoint = resolve_endpoint(outer, model=DEMO_MODEL)
            message("No language model is configured: querying the demo language model on this machine.")
        plan = plan_for(load_class_set("mafw"), load_template("paper", outer), endpoint, RequestOptions())
        with request_progress() as shown:
            outcome = ask_and_rank(
                plan, ResponseStore(workspace.responses), report=shown.report, note=shown.note
            )
    except Interrupted:
        raise
    except DferError as error:
        message(f"No descriptors from a language model: {error}")
        return None
    return store.save(outcome.descriptions, "v2", outcome.responses)


def _from_facs(store: DescriptionStore) -> DescriptionSet:
    from ..classes import load_class_set
    from ..generation.facs import facs_set

    message("A set from FACS, a table of action units, needs no language model.")
    return store.save(facs_set(load_class_set("mafw")), "facs")


def drawn_clips(folder: Path) -> PackedClips:
    """The demo's clips, drawn once, with a contact sheet."""
    from dfer_model.data.packed import PackedClips
    from dfer_model.synthetic.drawn_faces import draw_contact_sheet, draw_dataset

    path = folder / "clips"
    if path.is_dir():
        clips = PackedClips.open(path)
    else:
        with progress("drawing") as report:
            clips = draw_dataset(path, clips=CLIPS, seed=SEED, report=report)
    draw_contact_sheet(clips, folder / "faces.png")
    classes, folds = len(clips.class_names), len(clips.fold_names())
    message(f"{len(clips)} clips, {classes} classes, {folds} folds, each face in one fold only: faces.png")
    return clips


def compared(workspace: Workspace, clips: PackedClips, refs: list[str]) -> ComparisonRecord:
    """`dfer-prompts compare v1@4 v2@4 facs@4 --controls` on one fold, with one seed."""
    from ..api.compare import compare
    from .compare import show

    result = compare(
        *refs,
        dataset=clips,
        controls=True,
        folds=FOLDS,
        seeds=(1,),
        preset="demo",
        workspace=workspace,
        progress=progress,
    )
    show(result)
    message(READING)
    return result


READING = """How to read it: zero-shot depends on the texts alone, so a set of meaningful descriptions scores
above its controls. A trained model learns any distinct class weights: swapped descriptions are expected to
train as well as correct ones, so trained figures say little about the texts."""


def predicted(workspace: Workspace, clips: PackedClips, descriptions: DescriptionSet, run_id: str) -> None:
    """Predict a clip of the test fold of the run of `descriptions`, from a video file."""
    from dfer_model.data.summary import write_clip_video
    from dfer_model.evaluation.classify import predict
    from dfer_model.runs import Run

    run = Run.open(workspace.runs / run_id)
    index = int(clips.test_indices(run.fold)[0])
    video = write_clip_video(clips, index, workspace.root / "held-out.mp4")
    (prediction,) = predict(run, [video])
    message(
        f"{video.name}: a held-out clip of {clips.class_name_of(index)}, {clips.num_frames[index]} frames"
    )
    ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
    print_table("Prediction", ["class", "percent"], [(name, 100 * value) for name, value in ranked[:3]])
    show_evidence(run, clips, index, descriptions, prediction.expression)


def show_evidence(
    run: Run, clips: PackedClips, index: int, descriptions: DescriptionSet, answer: str
) -> None:
    """Print which descriptors rise on which frames of a clip, relative to the other held-out clips.

    The demo's runs do not train the image tower, so the features are those of CLIP.
    """
    import numpy as np

    from dfer_model.data.sampling import sample_test
    from dfer_model.evaluation.evaluate import frame_features
    from dfer_model.evaluation.explanation import descriptor_evidence
    from dfer_model.models.clip import load_clip

    clip = load_clip(run.settings.clip, run.settings.weights)
    test = clips.test_indices(run.fold)
    reference = frame_features(clip, clips, test[test != index], run.settings)
    frames = frame_features(clip, clips, np.array([index]), run.settings)[0]
    places = sample_test(int(clips.num_frames[index]), run.settings.frames)
    descriptors = {
        name: [each.text for each in descriptions.members[name][0]] for name in descriptions.class_names
    }
    evidence = descriptor_evidence(frames, reference.flatten(0, 1), descriptors, clip)
    print_table(
        "Descriptors with the largest rise",
        ["descriptor", "of", "frame", "rise in cosine"],
        [
            (descriptor, name, places[position], rise)
            for name, descriptor, position, rise in evidence.strongest(5)
        ],
    )
    best = ", ".join(str(places[position]) for position in evidence.best_frames(answer, 4))
    message(f"Frames with the strongest evidence for {answer}: {best}")


def register(app: typer.Typer) -> None:
    """Add `demo` to the root command."""
    app.command(short_help="The whole workflow on drawn faces, in a few minutes.")(demo)
