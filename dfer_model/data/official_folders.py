"""The places of clips and label files in published datasets, as public code bases expect them."""

from __future__ import annotations

from dataclasses import dataclass

from dfer_model.data.class_names import COMPOUND, ELEVEN, SEVEN


@dataclass(frozen=True)
class Official:
    """The places in a published dataset: patterns below its root, the preferred first."""

    class_names: tuple[str, ...]
    frames: tuple[str, ...]
    labels: tuple[str, ...]
    columns: int = 2


def _mafw_labels(kind: str) -> tuple[str, ...]:
    bases = ("Train & Test Set/", "split/", "Train_Test_Set/", "anno/", "")
    middles = (f"{kind}/no_caption/", f"{kind}/with_caption/", f"{kind}/")
    official = tuple(f"{base}{middle}set_*/[tv]*.txt" for middle in middles for base in bases)
    return (*official, f"{kind}/split*/[tv]*.csv")


_DFEW_FRAMES = (
    "Clip/clip_224x224",
    "clip_224x224",
    "Clip/clip_224x224_16f",
    "clip_224x224_16f",
    "DFEW_Frame_Face",
    "Clip/jpg_256",
    "Clip/original",
    "original",
    "Clip/clip_224x224_avi",
    "clip_224x224_avi",
    "Clip",
)
_FERV39K_FRAMES = ("2_ClipsforFaceCrop", "2_ClipsForFaceCrop", "0_7_LabelClips")
_MAFW_FRAMES = ("data/faces", "data/frames", "data/clips", "faces", "frames", "clips")
OFFICIAL = {
    "dfew": Official(
        SEVEN,
        (*_DFEW_FRAMES, ""),
        (
            "EmoLabel_DataSplit/*single*/*set_*.csv",
            "EmoLabel_DataSplit/t*/*set_*.csv",
            "*single*/*set_*.csv",
            "*set_*.csv",
            "split*/[tv]*.csv",
        ),
    ),
    "ferv39k": Official(
        SEVEN,
        (*_FERV39K_FRAMES, ""),
        (
            "4_setups/All_scenes/*_All.csv",
            "4_setups/All_scenes/*.csv",
            "All_scenes/*.csv",
            "*_*.csv",
            "all_scenes/*.csv",
        ),
    ),
    "mafw": Official(ELEVEN, (*_MAFW_FRAMES, ""), _mafw_labels("single")),
    "mafw-compound": Official(COMPOUND, (*_MAFW_FRAMES, ""), _mafw_labels("compound")),
    "frame-list": Official(
        ELEVEN,
        ("", *_DFEW_FRAMES, *_FERV39K_FRAMES, *_MAFW_FRAMES),
        ("*_*.txt", "annotation/*_*.txt", "*.txt", "annotation/*.txt"),
        columns=3,
    ),
}
# Patterns that do not match files of other datasets.
OWN_LABELS = {
    "dfew": OFFICIAL["dfew"].labels[:2],
    "ferv39k": OFFICIAL["ferv39k"].labels[:2],
    "mafw": OFFICIAL["mafw"].labels,
    "mafw-compound": OFFICIAL["mafw-compound"].labels,
}
