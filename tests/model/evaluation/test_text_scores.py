"""Diagnostics of texts against open_clip's own text tower and figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from dfer_model.errors import InputError
from dfer_model.evaluation.text_scores import text_features, text_scores
from dfer_model.models.clip import Clip, load_clip
from dfer_model.runs import ClassTexts

CLASSES = ("happiness", "sadness", "fear")
TEXTS = (("a smiling mouth and raised cheeks.",), ("tears and a frown.", "sad eyes."), ("parted lips.",))
DESCRIPTORS = (
    ["a smiling mouth", "raised cheeks"],
    ["tears", "a frown", "sad eyes", "tears"],  # said by two members
    ["parted lips"],
)


def class_texts(texts: tuple[tuple[str, ...], ...] = TEXTS, name: str = "v1") -> ClassTexts:
    return ClassTexts(name, "ab" * 32, CLASSES, texts)


def embedded(clip: Clip, *texts: str) -> Tensor:
    """open_clip's own way from texts to unit embeddings."""
    with torch.inference_mode():
        return F.normalize(clip.model.encode_text(clip.tokenizer(list(texts))), dim=-1)  # type: ignore[operator]


def by_hand(clip: Clip, texts: tuple[tuple[str, ...], ...] = TEXTS) -> Tensor:
    return torch.stack([F.normalize(embedded(clip, *own).mean(dim=0), dim=0) for own in texts])


def test_cosines_are_between_the_unit_means_of_members(tiny_clip: Clip) -> None:
    scores = text_scores(tiny_clip, class_texts(), DESCRIPTORS)
    weights = by_hand(tiny_clip)
    assert scores.cosines == pytest.approx((weights @ weights.T).numpy(), abs=1e-5)
    pairs = {(a, b): float(weights[a] @ weights[b]) for a, b in ((0, 1), (0, 2), (1, 2))}
    first, second = max(pairs, key=pairs.__getitem__)
    assert (scores.closest.first, scores.closest.second) == (CLASSES[first], CLASSES[second])
    assert scores.margin == pytest.approx(1 - max(pairs.values()), abs=1e-5)


def test_spread_and_strays_of_a_class(tiny_clip: Clip) -> None:
    happiness, sadness, fear = text_scores(tiny_clip, class_texts(), DESCRIPTORS).classes
    a, b, c = embedded(tiny_clip, "tears", "a frown", "sad eyes")
    assert sadness.descriptors == 3
    assert sadness.spread == pytest.approx(1 - float(a @ b + a @ c + b @ c) / 3, abs=1e-5)
    smile, cheeks, lips = embedded(tiny_clip, "a smiling mouth", "raised cheeks", "parted lips")
    others = torch.stack([a, b, c, lips])
    expected = sum(float((others @ each).max()) > float(smile @ cheeks) for each in (smile, cheeks)) / 2
    assert happiness.strays == expected
    assert (fear.spread, fear.strays) == (None, None)


def test_shared_and_repeated_descriptors(tiny_clip: Clip) -> None:
    descriptors = (["Narrow eyes", "a smile"], ["narrow eyes", "tears", "Tears"], ["parted lips"])
    scores = text_scores(tiny_clip, class_texts(), descriptors)
    assert [each.shared for each in scores.classes] == pytest.approx([0.5, 1 / 3, 0.0])
    assert scores.classes[0].strays is not None
    # CLIP reads in lower case: "Tears" is "tears", and the eyes are nearest to those of the other class.
    ((pair),) = (each for each in scores.classes[1].near_identical if each.first.lower() == "tears")
    assert (pair.first, pair.second, pair.cosine) == ("tears", "Tears", pytest.approx(1.0, abs=1e-5))
    repeated = {(each.class_name, pair.second) for each in scores.classes for pair in each.near_identical}
    assert scores.redundancy == pytest.approx(len(repeated) / 6)


def test_the_nearest_control_has_the_most_similar_texts(tiny_clip: Clip) -> None:
    same = class_texts(name="control:same")
    other = class_texts((("cat.",), ("harbor.",), ("melon cube.",)), "control:other")
    scores = text_scores(tiny_clip, class_texts(), DESCRIPTORS, [other, same])
    assert scores.nearest_control == "control:same"
    expected = (by_hand(tiny_clip) * by_hand(tiny_clip, other.texts)).sum(dim=1).mean()
    assert scores.controls == pytest.approx({"control:same": 1.0, "control:other": float(expected)}, abs=1e-5)
    assert text_scores(tiny_clip, class_texts(), DESCRIPTORS).nearest_control is None


def test_one_text_for_all_has_no_margin(tiny_clip: Clip) -> None:
    scores = text_scores(tiny_clip, class_texts((("cube.",),) * 3), [["cube"]] * 3)
    assert scores.margin == pytest.approx(0.0, abs=1e-6)
    assert np.allclose(scores.cosines, 1.0, atol=1e-6)
    assert (scores.spread, scores.overlap, scores.redundancy) == (None, None, 0.0)


def test_many_texts_are_encoded_in_batches(tiny_clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["raised cheeks", "tears", "a frown", "parted lips", "narrow eyes"]
    monkeypatch.setattr("dfer_model.evaluation.text_scores.AT_ONCE", 2)
    assert torch.allclose(text_features(tiny_clip, texts, texts), embedded(tiny_clip, *texts), atol=1e-5)


def test_the_demo_clip_ranks_similar_texts() -> None:
    clip = load_clip("demo")
    descriptors = [["raised eyebrows", "lifted brows"], ["a pulled down mouth"], ["narrow eyes"]]
    (surprise, *_) = text_scores(clip, class_texts(), descriptors).classes
    assert surprise.strays == 0.0


def test_wrong_input_is_an_error(tiny_clip: Clip) -> None:
    with pytest.raises(InputError, match="the description of 'sadness' has 90 tokens"):
        text_scores(tiny_clip, class_texts(), [["a smile"], ["eyes " * 90], ["lips"]])
    with pytest.raises(InputError, match="a single class"):
        text_scores(tiny_clip, ClassTexts("v9", "ab", ("fear",), (("lips.",),)), [["lips"]])
