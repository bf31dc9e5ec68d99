"""Size and cost of open_clip's models: `python benchmarks/clip_models.py [NAME ...] [--all]`.

Prints the Markdown table of docs/own-clip.md, about a minute (--all: every model, ten). Models are built
at full size on torch's meta device, which allocates no weights, so no file is downloaded and nothing is
computed. FLOPs are those of a clip of 16 frames through image tower and temporal model; the text tower runs
once per training step or once per model, not per clip. A model that cannot be used has its reason instead.
"""

import argparse
from collections.abc import Sequence

import open_clip
import torch

from dfer_model.config import ModelSettings
from dfer_model.errors import InputError
from dfer_model.evaluation.cost import flops_of
from dfer_model.models.clip import Clip, clip_from_config, reads_padding
from dfer_model.models.heads import LinearHead

FAMILIES = (
    "ViT-B-32-quickgelu", "ViT-B-16", "ViT-L-14", "ViT-H-14-worldwide", "EVA02-B-16", "EVA02-L-14",
    "PE-Core-B-16", "PE-Core-L-14-336", "MobileCLIP-S1", "MobileCLIP2-S0", "MobileCLIP2-S4", "coca_ViT-B-32",
    "ViT-L-14-CLIPA",
    "ViT-B-16-SigLIP", "ViT-SO400M-14-SigLIP", "ViT-B-16-SigLIP2", "ViT-SO400M-16-SigLIP2-384", "ViTamin-B",
    "xlm-roberta-base-ViT-B-32",
)  # fmt: skip
FRAMES, CLASSES = 16, 11
SETTINGS = ModelSettings(frames=FRAMES, temporal_depth=1)


def built(name: str) -> tuple[Clip, int]:
    """The model on the meta device, and its FLOPs per clip."""
    with torch.device("meta"):
        clip = clip_from_config(name, "random", open_clip.get_model_config(name))
        model = LinearHead(clip, CLASSES, SETTINGS)
    return clip, flops_of(model, FRAMES, clip.image_size)


def row(name: str) -> str:
    """The line of a model in the table."""
    try:
        clip, flops = built(name)
    except InputError as error:
        return f"| {name} | not usable: {str(error).splitlines()[0].partition(': ')[2]} | | | | | |"
    visual = clip.model.get_submodule("visual")
    image, whole = (
        f"{sum(value.numel() for value in each.parameters()) / 1e6:,.0f}" for each in (visual, clip.model)
    )
    computed = "all" if reads_padding(clip) else "up to the longest text"
    return (
        f"| {name} | {image} | {whole} | {clip.image_size} | {flops / 1e9:,.0f} | {clip.context_length} "
        f"| {computed} |"
    )


def main(names: Sequence[str]) -> None:
    """Print the table."""
    print(
        "| model | image tower, M | all, M | pixels | GFLOPs per clip | text positions | computed positions |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | --- |")
    for name in names:
        print(row(name), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("names", nargs="*", help="models of open_clip; default: one or two of each family")
    parser.add_argument("--all", action="store_true", help="every model of open_clip")
    given = parser.parse_args()
    main(open_clip.list_models() if given.all else given.names or FAMILIES)
