from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
from safetensors import safe_open

from dfer_model.models.clip import DEMO_FOLDER, Clip, clip_from_config, load_clip
from dfer_model.synthetic.demo_clip import benchmark as judging
from dfer_model.synthetic.demo_clip import train_demo_clip as train
from dfer_model.synthetic.demo_clip.captions import (
    AT_REST,
    HELD_OUT,
    SEEN,
    Captioner,
    expand,
    random_units,
    sayings,
    training_face,
)
from dfer_model.synthetic.drawn_faces import CLASS_NAMES, UNIT_INDEX, UNITS

from ...appendix import APPENDIX_A

TEXTS = [APPENDIX_A[name] for name in CLASS_NAMES]
STEMS = (
    "happ", "sad", "neutral", "anger", "angry", "surpris", "disgust", "fear", "afraid", "contempt", "anxi",
    "helpless", "disappoint",
)  # fmt: skip


@pytest.fixture(scope="module")
def demo() -> Clip:
    return load_clip("demo")


def descriptors(sentence: str) -> list[str]:
    return [part.removeprefix("and ") for part in sentence.rstrip(".").split(", ")]


def test_no_phrase_names_a_class_or_is_a_descriptor_of_the_paper() -> None:
    phrases = {phrase for saying in sayings() for phrase in saying.phrases}
    assert not phrases & {part for sentence in TEXTS for part in descriptors(sentence)}
    assert {part for sentence in TEXTS for part in descriptors(sentence)} == HELD_OUT
    inside = {text for text in HELD_OUT if any(re.search(rf"\b{text}\b", phrase) for phrase in phrases)}
    assert inside == {
        "a wrinkled nose", "arched eyebrows", "flared nostrils", "furrowed eyebrows", "parted lips",
        "raised eyebrows", "tears",
    }  # fmt: skip
    words = {word for phrase in phrases for word in phrase.split()}
    named = {word for word in words for stem in STEMS if word.startswith(stem)}
    assert named == {"neutral"}  # "neutral eyebrows": a region, never the expression
    assert not any("neutral" in p and re.search("face|expression", p) for p in phrases)


def test_every_unit_has_six_phrasings_and_no_phrase_two_meanings() -> None:
    for unit in UNITS:
        assert sum(len(s.phrases) for s in sayings() if s.needs == (unit,)) >= 6, unit
    everything = [phrase for saying in sayings() for phrase in set(saying.phrases)]
    twice = {phrase for phrase in everything if everything.count(phrase) > 1}
    assert not twice


def test_a_pattern_stands_for_all_its_combinations() -> None:
    assert expand("{raised|lifted} brows {high|}") == [
        "raised brows high", "raised brows", "lifted brows high", "lifted brows",
    ]  # fmt: skip


def test_captions_are_true_of_their_faces() -> None:
    captioner = Captioner()
    phrase_of = {phrase: saying for saying in captioner.sayings for phrase in saying.phrases}
    named = 0
    for i in range(200):
        rng = np.random.default_rng(i)
        units = random_units(rng)
        text, units_named = captioner.caption(units, rng)
        for number in units_named:
            saying = captioner.sayings[number]
            assert any(phrase in text for phrase in saying.phrases)
            assert all(units[UNIT_INDEX[name]] >= SEEN for name in saying.needs)
            assert all(units[UNIT_INDEX[name]] <= AT_REST for name in saying.lacks)
            named += 1
    assert named > 300
    assert phrase_of


def test_contradictions_are_the_captions_that_are_not_true() -> None:
    captioner = Captioner()
    smile, frown = np.zeros((2, len(UNITS)), dtype=np.float32)
    smile[UNIT_INDEX["lip_corner_pull"]] = frown[UNIT_INDEX["lip_corner_depress"]] = 0.9
    by_needs = {saying.needs: i for i, saying in enumerate(captioner.sayings) if saying.needs}
    captions = [[by_needs["lip_corner_pull",]], [by_needs["lip_corner_depress",]], []]
    wrong = captioner.contradictions(captions, np.stack([smile, frown]))
    assert wrong.tolist() == [[False, True, False], [True, False, False]]


def test_training_test_and_tuning_people_are_disjoint() -> None:
    trained = {training_face(1, i, 8)[0].tobytes() for i in range(20)}
    assert len(trained) == 20
    first, again = judging.apex_faces(2, 16), judging.apex_faces(2, 16)
    tuners = judging.apex_faces(2, 16, judging.TUNING)
    assert (first.images == again.images).all()
    assert (first.images != tuners.images).any(axis=(1, 2, 3, 4)).all()


def test_the_training_text_forward_equals_open_clip() -> None:
    clip = clip_from_config("demo", "random", train.MODEL, seed=3)
    tokens = clip.tokenizer(["a grin", *TEXTS, "low brows"])
    with torch.no_grad():
        torch.testing.assert_close(
            train.encode_captions(clip.model, tokens), clip.model.encode_text(tokens), rtol=1e-4, atol=1e-5
        )


def test_a_caption_that_is_true_of_two_faces_is_no_negative() -> None:
    images, texts = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    own_only = ~torch.eye(2, dtype=torch.bool)
    # All pairs are negatives: rows (10, 10) and (0, 0), columns (10, 0) and (10, 0).
    all_pairs = train.contrastive_loss(images, texts, torch.tensor(10.0), own_only)
    rows, columns = np.log(2), (np.log1p(np.exp(-10)) + np.log1p(np.exp(10))) / 2
    assert all_pairs.item() == pytest.approx((rows + columns) / 2, rel=1e-5)
    none = train.contrastive_loss(images, texts, torch.tensor(10.0), torch.zeros(2, 2, dtype=torch.bool))
    assert none.item() == pytest.approx(0.0, abs=1e-6)


def test_training_is_repeatable_and_its_file_is_read_again(tmp_path) -> None:
    recipe = train.Recipe(images=24, steps=3, batch=8, warmup=1, seed=7)
    faces = train.draw_faces(recipe, workers=1)
    clips = [train.train(recipe, faces) for _ in range(2)]
    for key, value in clips[0][0].model.state_dict().items():
        assert torch.equal(value, clips[1][0].model.state_dict()[key]), key
    train.save(*reversed_arguments(clips[0], tmp_path))
    from dfer_model.models.clip import load_demo_clip

    loaded = load_demo_clip(tmp_path)
    text = loaded.tokenizer(["a face"])
    with torch.no_grad():
        torch.testing.assert_close(
            loaded.model.encode_text(text), clips[0][0].model.encode_text(text), atol=5e-3, rtol=5e-2
        )


def reversed_arguments(trained: tuple[Clip, set[int]], folder):
    clip, used = trained
    return clip, folder, used | set(clip.tokenizer.encode("a face"))


def test_the_shipped_file_is_small_and_holds_nothing_but_the_clip(demo: Clip) -> None:
    path = DEMO_FOLDER / "model.safetensors"
    assert path.stat().st_size < 5 * 2**20
    with safe_open(path, "pt") as file:
        stored = set(file.keys())
        rows = set(file.get_tensor("token_embedding.rows").tolist())
    own = set(demo.model.state_dict())
    assert stored - own == {"token_embedding.rows", "token_embedding.values"}
    assert own - stored == {"token_embedding.weight"}
    for name in [*TEXTS, *CLASS_NAMES]:
        unknown = [demo.tokenizer.decode([i]) for i in demo.tokenizer.encode(name) if i not in rows]
        assert set(map(str.strip, unknown)) <= {"frozen", "its"}
    assert json.loads((DEMO_FOLDER / "config.json").read_text())["model_cfg"] == train.MODEL


@pytest.mark.parametrize(("draw", "least"), [(judging.apex_faces, 0.75), (judging.clip_faces, 0.60)])
def test_the_papers_sentences_are_understood_and_swapped_ones_are_not(demo: Clip, draw, least: float) -> None:
    faces = draw(8, demo.image_size)
    features = judging.video_features(demo, faces)
    right = judging.zero_shot_recalls(demo, features, faces.labels, TEXTS).mean()
    rng, swapped = np.random.default_rng(0), []
    while len(swapped) < 5:
        order = rng.permutation(len(TEXTS))
        if (order != np.arange(len(TEXTS))).all():
            texts = [TEXTS[i] for i in order]
            swapped.append(judging.zero_shot_recalls(demo, features, faces.labels, texts).mean())
    assert right > least
    assert right > max(swapped) + 0.50
    assert np.mean(swapped) < 0.15
