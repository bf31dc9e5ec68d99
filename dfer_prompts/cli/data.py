"""`dfer-prompts data`: pack clips from published layouts or your own folder, describe them, draw faces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..workspace import Workspace
from .data_features import features
from .options import FaceModelOption, MarginOption, grouped
from .output import JsonOption, clean, message, print_json, print_table, progress

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips
    from dfer_model.video.clip_cropping import Cropping

commands = typer.Typer(no_args_is_help=True, help="Clips: prepare, info, index, draw, features.")

OutOption = Annotated[Path, typer.Option(help="New folder for the packed clips.")]


def register(app: typer.Typer) -> None:
    """Add this file's commands, and `data features`, to the root command."""
    commands.command(short_help="Write the features of CLIP's image tower as a table.")(features)
    app.add_typer(commands, name="data")


@dataclass(frozen=True)
class PlaceOptions:
    """Where a dataset's clips and label files are, and what it is."""

    frames: Annotated[
        Path | None, typer.Option(help="Folder of the clips, if not the dataset's usual one.")
    ] = None
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Label files, if not the dataset's usual ones: a file, a folder of lists, or a glob in "
            "quotes; repeat it.",
        ),
    ] = None
    label_base: Annotated[
        int | None,
        typer.Option(min=0, max=1, help="First label number of DFEW's files, if it is ambiguous."),
    ] = None
    dataset_name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="For frame-list and folder: its name, such as dfew, which sets preset paper's augmentation.",
            show_default="from the lists' names",
        ),
    ] = None


VotesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--votes",
        metavar="FILE",
        help="Annotators' votes, for --set targets=distribution: a table with a column per class (DFEW's "
        "annotation.xlsx), or MAFW's lists of compound labels; repeat it.",
    ),
]


@dataclass(frozen=True)
class FoldOptions:
    """How the clips of a custom folder are split."""

    folds: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="For folder: split into this many folds, stratified by class, ignoring persons: clips of "
            "one person must not be in two folds, which ROOT/folds.csv (clip_id,fold) can ensure.",
        ),
    ] = None
    seed: Annotated[int, typer.Option(help="Seed of --folds.")] = 0


@dataclass(frozen=True)
class FaceOptions:
    """How faces are cropped from the clips of a custom folder."""

    faces: Annotated[
        Literal["auto", "yunet", "haar", "none"],
        typer.Option(
            help="For folder: crop the largest face of every frame; auto is yunet if its file is there, "
            "else haar; yunet downloads it once; none uses whole frames."
        ),
    ] = "none"
    face_model: FaceModelOption = None
    margin: MarginOption = 0.2


@commands.command(short_help="Pack clips into one folder that training reads.")
@grouped
def prepare(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="LAYOUT", help="dfew, ferv39k, mafw, mafw-compound, frame-list, or folder (your own)."
        ),
    ],
    root: Annotated[Path, typer.Option(help="Folder of the dataset.")],
    out: OutOption,
    *,
    places: PlaceOptions,
    votes: VotesOption = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave missing, empty and broken clips out.")
    ] = False,
    split: FoldOptions,
    cropping: FaceOptions,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes.", show_default="all cores")] = None,
    as_json: JsonOption = False,
) -> None:
    """Pack clips into one folder that training reads; the same command resumes after a stop.

    The folder layout is ROOT/<class>/<clip id>/<frames> or ROOT/<class>/<clip id>.<video>.

    Example: dfer-prompts data prepare mafw --root MAFW --out packed/mafw
    """
    from dfer_model.data.captions import FILE
    from dfer_model.data.packing import pack, read_request

    request = read_request(
        name,
        root,
        _below(context.obj, out),
        folds=split.folds,
        seed=split.seed,
        skip_broken=skip_broken,
        faces=_cropping(context.obj, cropping),
        frames=places.frames,
        labels=places.labels or (),
        label_base=places.label_base,
        dataset_name=places.dataset_name,
        votes=votes or (),
    )
    if request.finished():
        message(f"{request.out} is packed already, with the same clips; nothing to do")
    with progress(f"packing {name}") as report:
        clips = pack(request, jobs=jobs, progress=report)
    _show(clips, as_json)
    if (captions := request.out / FILE).is_file():
        message(f"Captions of the clips: {captions}")


@commands.command("info")
def info_(
    context: typer.Context,
    folder: Annotated[
        str,
        typer.Argument(metavar="FOLDER", help="A folder or URL of packed clips, or a name in dfer.yaml."),
    ],
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Read every file of clips and compare its sha256 with the one in prepare.json."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Count the clips by class and fold, and their frames.

    Example: dfer-prompts data info packed/mafw --verify
    """
    from ..api.inputs import open_dataset

    clips = open_dataset(context.obj, folder)
    verified = None
    if verify:
        with progress("verifying") as report:
            verified = clips.verify(report)
    _show(clips, as_json, verified)


@commands.command(short_help="Write the index that streaming needs.")
def index(
    context: typer.Context,
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="A folder of packed clips, or its name in dfer.yaml.")
    ],
) -> None:
    """Write the index that streaming needs, for a folder packed without one.

    Example: dfer-prompts data index packed/mafw
    """
    from dfer_model.data.packed import PackedClips
    from dfer_model.data.packed_writer import write_index

    message(f"The index is in {write_index(PackedClips.open(context.obj.dataset(folder)))}")


@commands.command(short_help="Draw synthetic faces, for the demo and for tests.")
def draw(
    context: typer.Context,
    out: OutOption,
    clips: Annotated[int, typer.Option(min=1, help="How many clips.")] = 550,
    seed: Annotated[int, typer.Option(help="Seed of the drawing.")] = 1,
    size: Annotated[int, typer.Option(min=16, max=1024, help="Pixels a side.")] = 64,
    as_json: JsonOption = False,
) -> None:
    """Draw clips of synthetic faces whose expressions are composed of action units.

    Example: dfer-prompts data draw --out packed/drawn --clips 110
    """
    from dfer_model.synthetic.drawn_faces.dataset import draw_dataset

    with progress("drawing") as report:
        drawn = draw_dataset(_below(context.obj, out), clips=clips, seed=seed, image_size=size, report=report)
    _show(drawn, as_json)


def _below(workspace: Workspace, out: Path) -> Path:
    """`--out` relative to the workspace, where `--dataset` looks for it."""
    return workspace.root / out.expanduser()


def _cropping(workspace: Workspace, options: FaceOptions) -> Cropping | None:
    if options.faces == "none":
        return None
    from dfer_model.video.clip_cropping import Cropping

    model = options.face_model or workspace.face_model
    cropping, note = Cropping.choose(options.faces, model, options.margin)
    if note:
        message(note)
    return cropping


def _show(clips: PackedClips, as_json: bool, verified: int | None = None) -> None:
    from dfer_model.data.summary import info

    values = info(clips) | ({} if verified is None else {"verified_files": verified})
    if as_json:
        print_json(values)
        return
    folds = [str(fold) for fold in values["folds"]]
    rows: list[tuple[object, ...]] = [
        (each["class_name"], *(each["folds"][fold] for fold in folds), each["clips"])
        for each in values["classes"]
    ]
    totals = [sum(each["folds"][fold] for each in values["classes"]) for fold in folds]
    rows.append(("all", *totals, values["clips"]))
    columns = ["class", *(f"fold {fold}" if fold != "0" else "never tested" for fold in folds), "clips"]
    print_table(f"Clips of {values['dataset']}", columns, rows)
    for line in _remarks(values):
        typer.echo(clean(line))


def _remarks(values: dict[str, Any]) -> list[str]:
    frames = values["frames"]
    lines = [
        f"Packed in {values['path']}.",
        f"Frames per clip: {frames['min']} to {frames['max']}, median {frames['median']:g}; "
        f"{frames['total']} in all; {frames['short']} clips have fewer than 16.",
    ]
    if values["skipped"]:
        lines.append(f"Left out as missing, empty or broken: {values['skipped']} (named in prepare.json).")
    if values["no_face"]:
        lines.append(f"Left out because no face was found: {values['no_face']} (named in prepare.json).")
    if values["frame_count_disagreements"]:
        lines.append(
            f"The list gives a different number of frames for {values['frame_count_disagreements']} clips; "
            "the folders' numbers are used."
        )
    if values.get("verified_files") == 0:
        lines.append("Not verified: prepare.json has no sha256 of the files (packed by an earlier version).")
    elif "verified_files" in values:
        lines.append(f"Verified: the sha256 of {values['verified_files']} files matches prepare.json.")
    return lines + [f"Note: {note}." for note in values["notes"]]
