from __future__ import annotations

import numpy as np
import pytest

from dfer_model.synthetic.drawn_faces import (
    CLASS_NAMES,
    UNIT_INDEX,
    UNITS,
    View,
    draw_identity,
    draw_track,
    draw_view,
    expression_units,
    render,
)

# Which action units the sentences of the paper's appendix A speak of, read off the sentences by hand.
SPOKEN_OF = {
    "happiness": "lip_corner_pull cheek_raise outer_brow_raise",
    "sadness": "tears lip_corner_depress lid_droop forehead_wrinkle",
    "anger": "brow_lower lid_tighten lip_tighten nostril_flare",
    "surprise": "lid_raise jaw_drop inner_brow_raise outer_brow_raise",
    "disgust": "nose_wrinkle brow_lower lip_tighten lid_tighten",
    "fear": "inner_brow_raise outer_brow_raise lips_part brow_lower chin_retract",
    "contempt": "one_sided_smile brow_split lid_tighten head_up",
    "anxiety": "forehead_tense lip_press pupil_dilate muscle_tense",
    "helplessness": "brow_droop gaze_down lip_corner_depress",
    "disappointment": "lip_corner_depress brow_lower lid_tighten sigh",
}
OPPOSITES = [
    ("lip_corner_pull", "lip_corner_depress"),
    ("lid_raise", "lid_tighten"),
    ("lid_raise", "lid_droop"),
    ("lip_press", "lips_part"),
    ("head_up", "head_down"),
]


def one_unit(name: str, amount: float = 1.0) -> np.ndarray:
    units = np.zeros(len(UNITS), dtype=np.float32)
    units[UNIT_INDEX[name]] = amount
    return units


def changed(name: str, amount: float = 1.0, person: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, 64 x 64, that differ between a face at rest and one with a unit: how much, and their rows."""
    who = draw_identity(np.random.default_rng(person))
    rest, moved = (
        render(who, np.zeros(len(UNITS)), View(), 64),
        render(who, one_unit(name, amount), View(), 64),
    )
    difference = np.abs(rest.astype(int) - moved).sum(axis=2)
    return difference, np.flatnonzero(difference.max(axis=1) > 24)


@pytest.mark.parametrize("class_name", SPOKEN_OF)
def test_an_expression_moves_the_units_its_sentence_names(class_name: str) -> None:
    rng = np.random.default_rng(0)
    shown = np.stack([expression_units(class_name, rng) for _ in range(200)])
    assert shown.shape == (200, len(UNITS))
    assert shown.min() >= 0
    assert shown.max() <= 1
    for unit in SPOKEN_OF[class_name].split():
        assert (shown[:, UNIT_INDEX[unit]] >= 0.35).mean() > 0.85, unit


def test_neutral_is_a_face_at_rest() -> None:
    rng = np.random.default_rng(0)
    assert not any(expression_units("neutral", rng).any() for _ in range(50))
    assert not draw_track("neutral", rng).units.any()


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_no_expression_moves_opposite_units(class_name: str) -> None:
    rng = np.random.default_rng(1)
    shown = np.stack([expression_units(class_name, rng) for _ in range(100)])
    for one, other in OPPOSITES:
        assert not ((shown[:, UNIT_INDEX[one]] > 0) & (shown[:, UNIT_INDEX[other]] > 0)).any(), (one, other)


def test_a_class_without_a_drawing_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="serenity"):
        expression_units("serenity", np.random.default_rng(0))


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_can_be_seen_at_64_pixels(unit: str) -> None:
    for person in range(3):
        difference, _ = changed(unit, person=person)
        assert (difference > 40).sum() >= 6, person


@pytest.mark.parametrize(
    ("unit", "top", "bottom"),
    [
        ("lip_corner_pull", 32, 58),
        ("lip_corner_depress", 38, 60),
        ("jaw_drop", 38, 64),
        ("lip_press", 38, 60),
        ("sigh", 32, 62),
        ("tears", 26, 52),
        ("lid_raise", 18, 38),
        ("lid_tighten", 18, 40),
        ("pupil_dilate", 22, 38),
        ("gaze_down", 18, 40),
        ("inner_brow_raise", 10, 30),
        ("brow_droop", 12, 32),
        ("forehead_wrinkle", 6, 26),
        ("nose_wrinkle", 18, 44),
    ],
)
def test_a_unit_changes_its_own_region(unit: str, top: int, bottom: int) -> None:
    _, rows = changed(unit)
    assert len(rows)
    assert rows.min() >= top
    assert rows.max() <= bottom


def test_a_raised_head_moves_the_whole_face_up() -> None:
    who = draw_identity(np.random.default_rng(2))

    rest = render(who, np.zeros(len(UNITS)), View(), 64)[20:44, 16:48].astype(int)

    def shift(units: np.ndarray) -> int:
        """By how many pixels the face at rest is best moved down to lie on this one."""
        moved = render(who, units, View(), 64).astype(int)
        errors = {dy: np.abs(moved[20 + dy : 44 + dy, 16:48] - rest).sum() for dy in range(-12, 13)}
        return min(errors, key=lambda dy: errors[dy])

    assert shift(np.zeros(len(UNITS))) == 0
    assert shift(one_unit("head_up")) <= -4
    assert shift(one_unit("head_down")) >= 4


def test_a_stronger_unit_changes_more_of_the_image() -> None:
    for unit in ("lip_corner_pull", "jaw_drop", "brow_lower", "tears"):
        weak, strong = changed(unit, 0.3)[0].sum(), changed(unit, 1.0)[0].sum()
        assert strong > 1.3 * weak > 0, unit


def test_a_one_sided_smile_is_on_the_side_of_the_view() -> None:
    who = draw_identity(np.random.default_rng(0))
    for side, half in ((-1, slice(0, 30)), (1, slice(34, 64))):
        view = View(side=side)
        rest = render(who, np.zeros(len(UNITS)), view, 64).astype(int)
        smile = render(who, one_unit("one_sided_smile"), view, 64).astype(int)
        difference = np.abs(rest - smile)
        assert difference[:, half].sum() > 0.7 * difference.sum()


def test_rendering_is_free_of_hidden_randomness() -> None:
    rng = np.random.default_rng(5)
    who, view, units = draw_identity(rng), draw_view(rng), expression_units("fear", rng)
    first = render(who, units, view, 96, np.random.default_rng(1))
    assert first.shape == (96, 96, 3)
    assert first.dtype == np.uint8
    assert (first == render(who, units, view, 96, np.random.default_rng(1))).all()
    assert (first != render(who, units, view, 96, np.random.default_rng(2))).any()


def test_clips_have_8_to_80_frames_and_all_intensities() -> None:
    tracks = [draw_track("surprise", np.random.default_rng(i)) for i in range(300)]
    lengths = [len(track.units) for track in tracks]
    assert min(lengths) == 8
    assert 70 < max(lengths) <= 80
    assert all(len(track.views) == len(track.units) for track in tracks)
    strengths = np.array([track.intensity for track in tracks])
    assert 0.25 <= strengths.min() < 0.3
    assert 0.95 < strengths.max() <= 1.0
    peaks = np.array([track.units[:, UNIT_INDEX["jaw_drop"]].max() for track in tracks])
    assert peaks.min() < 0.25, "some surprise must be hard to see"


def test_an_expression_comes_stays_and_goes() -> None:
    tracks = [draw_track("happiness", np.random.default_rng(i), intensity=1.0) for i in range(60)]
    smiles = [track.units[:, UNIT_INDEX["lip_corner_pull"]] for track in tracks if len(track.units) >= 24]
    assert len(smiles) > 10
    for smile, track in zip(smiles, [t for t in tracks if len(t.units) >= 24], strict=True):
        assert smile[track.apex] == pytest.approx(smile.max(), abs=0.02)
        assert smile.max() >= 0.75
    assert np.mean([smile[0] / smile.max() for smile in smiles]) < 0.5
    assert np.mean([smile[-1] / smile.max() for smile in smiles]) < 0.7


def pixels_like(colour: tuple[int, int, int], unit: str | None, within: int = 40) -> np.ndarray:
    """Rows and columns (n, 2) of the pixels of about that colour in a large face of person 0."""
    who = draw_identity(np.random.default_rng(0))
    image = render(who, one_unit(unit) if unit else np.zeros(len(UNITS)), View(), 192).astype(int)
    return np.argwhere(np.abs(image - colour).sum(axis=2) < within)


@pytest.mark.parametrize(("unit", "sign"), [("lip_corner_pull", 1), ("lip_corner_depress", -1)])
def test_lip_corners_go_the_right_way(unit: str, sign: int) -> None:
    lips = pixels_like(draw_identity(np.random.default_rng(0)).lips, unit)
    columns = lips[:, 1]
    ends = lips[(columns < columns.min() + 6) | (columns > columns.max() - 6), 0].mean()
    middle = lips[np.abs(columns - 96) < 6, 0].mean()
    assert sign * (middle - ends) > 6


def test_lids_open_and_close_the_eyes() -> None:
    white = (246, 246, 244)
    rest, wide = len(pixels_like(white, None)), len(pixels_like(white, "lid_raise"))
    narrow, heavy = len(pixels_like(white, "lid_tighten")), len(pixels_like(white, "lid_droop"))
    assert wide > 1.3 * rest
    assert max(narrow, heavy) < 0.7 * rest


def test_pupils_dilate_and_the_gaze_drops() -> None:
    pupil = (12, 10, 12)
    assert len(pixels_like(pupil, "pupil_dilate", 16)) > 2 * len(pixels_like(pupil, None, 16))
    rows, rest = pixels_like(pupil, "gaze_down", 16)[:, 0], pixels_like(pupil, None, 16)[:, 0]
    assert rows.mean() > rest.mean() + 2
