"""The options of `generate --source frames`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from .options import ClipOption, DatasetOption, WeightsOption, numbers

if TYPE_CHECKING:
    from ..api.frames import FrameChoices

FrameFoldsOption = Annotated[
    str | None,
    typer.Option(
        "--folds",
        metavar="FOLDS",
        help="frames: training folds whose clips are shown, such as 2-5; 0: clips outside all test folds.",
        show_default=False,
    ),
]
ClipsOption = Annotated[int, typer.Option(min=1, max=100, help="frames: clips shown per class.")]
FramesOption = Annotated[int, typer.Option(min=1, max=100, help="frames: images per clip.")]
ContrastOption = Annotated[
    bool,
    typer.Option(
        "--contrast",
        help="frames: show the class that zero-shot prediction with --of confuses it with, too.",
    ),
]
PerClipOption = Annotated[
    bool,
    typer.Option(
        "--per-clip", help="frames: ask about each clip alone, and write clip_descriptions/VERSION.csv too."
    ),
]
SendImagesOption = Annotated[
    bool,
    typer.Option("--send-images", help="frames: permit that images of faces are sent to another machine."),
]


@dataclass(frozen=True)
class FrameOptions:
    """The clips whose frames are shown: the fields of `api.frames.FrameChoices` but two."""

    dataset: DatasetOption = None
    folds: FrameFoldsOption = None
    clips: ClipsOption = 4
    frames: FramesOption = 4
    contrast: ContrastOption = False
    per_clip: PerClipOption = False
    send_images: SendImagesOption = False
    clip: ClipOption = None
    weights: WeightsOption = None

    def choices(self, of: str | None, seed: int | None) -> FrameChoices:
        """The choices of the public function."""
        from ..api.frames import FrameChoices

        folds = None if self.folds is None else numbers(self.folds, "--folds", least=0)
        return FrameChoices(**{**vars(self), "folds": folds, "of": of or "v1", "seed": seed})
