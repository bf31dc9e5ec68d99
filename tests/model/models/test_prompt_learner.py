"""Prompts token by token, and class weights against open_clip's own encode_text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from dfer_model.errors import InputError
from dfer_model.models.clip import Clip
from dfer_model.models.prompt_learner import CONTEXT, Position, PromptLearner, TextTower, layout

SOS, EOS = 49406, 49407
TEXTS = [
    ["a smiling mouth, raised cheeks, wrinkled eyes, and arched eyebrows."],
    ["tears."],
    ["furrowed eyebrows, narrow eyes, tightened lips, and flared nostrils."],
]


@pytest.mark.parametrize(
    ("position", "contexts", "expected"),
    [
        ("end", 4, [SOS, CONTEXT, CONTEXT, CONTEXT, CONTEXT, 7, 8, 9, EOS]),
        ("middle", 4, [SOS, CONTEXT, CONTEXT, 7, 8, 9, CONTEXT, CONTEXT, EOS]),
        ("middle", 3, [SOS, CONTEXT, 7, 8, 9, CONTEXT, CONTEXT, EOS]),
        ("front", 4, [SOS, 7, 8, 9, CONTEXT, CONTEXT, CONTEXT, CONTEXT, EOS]),
        ("end", 0, [SOS, 7, 8, 9, EOS]),
        ("middle", 0, [SOS, 7, 8, 9, EOS]),
    ],
)
def test_layout(position: Position, contexts: int, expected: list[int]) -> None:
    assert layout([7, 8, 9], contexts, position, start=[SOS], end=[EOS]) == expected


def by_hand(clip: Clip, text: str, contexts: torch.Tensor, position: Position) -> torch.Tensor:
    """The class weight of one text over all 77 positions, from open_clip's parts."""
    model, table = clip.model, clip.model.token_embedding.weight
    words = table[torch.tensor(clip.tokenizer.encode(text))]
    half = len(contexts) // 2
    inner = {
        "end": [contexts, words],
        "middle": [contexts[:half], words, contexts[half:]],
        "front": [words, contexts],
    }[position]
    prompt = torch.cat([table[SOS][None], *inner, table[EOS][None]])
    end = len(prompt) - 1
    x = torch.cat(
        [prompt, table[torch.zeros(77 - len(prompt), dtype=torch.int64)]]
    )  # open_clip pads with token 0
    x = model.transformer((x + model.positional_embedding)[None], attn_mask=model.attn_mask)
    weight = model.ln_final(x)[0, end] @ model.text_projection
    return weight / weight.norm()


@pytest.mark.parametrize("kind", ["class-specific", "unified"])
@pytest.mark.parametrize("position", ["end", "middle", "front"])
def test_class_weights_equal_all_77_positions_by_hand(tiny_clip: Clip, position: Position, kind: str) -> None:
    torch.manual_seed(0)
    learner = PromptLearner(tiny_clip, TEXTS, contexts=5, position=position, context_kind=kind)
    with torch.no_grad():
        learner.contexts.mul_(20)  # as large as trained ones, so that a misplaced context shows
        weights = learner.class_weights(TextTower(tiny_clip))
        contexts = learner.contexts if kind == "class-specific" else learner.contexts.expand(3, -1, -1)
        expected = [by_hand(tiny_clip, TEXTS[c][0], contexts[c], position) for c in range(3)]
    torch.testing.assert_close(weights, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_without_contexts_class_weights_are_encode_text(tiny_clip: Clip) -> None:
    learner = PromptLearner(tiny_clip, TEXTS, contexts=0)
    sentences = tiny_clip.tokenizer([texts[0] for texts in TEXTS])
    expected = tiny_clip.model.encode_text(sentences, normalize=True)
    torch.testing.assert_close(learner.class_weights(TextTower(tiny_clip)), expected)


def test_only_the_longest_prompts_positions_are_computed(tiny_clip: Clip) -> None:
    learner = PromptLearner(tiny_clip, TEXTS, contexts=8)
    longest = max(len(tiny_clip.tokenizer.encode(texts[0])) for texts in TEXTS)
    assert learner().shape == (3, 1 + 8 + longest + 1, 64)


@pytest.mark.parametrize(("kind", "shape"), [("class-specific", (3, 8, 64)), ("unified", (8, 64))])
def test_contexts_are_small_normal_vectors(tiny_clip: Clip, kind: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    learner = PromptLearner(tiny_clip, TEXTS, contexts=8, context_kind=kind)
    assert learner.contexts.shape == shape
    assert abs(learner.contexts.std().item() - 0.02) < 0.002
    assert [name for name, _ in learner.named_parameters()] == ["contexts"]


def test_a_class_specific_context_affects_only_its_class(tiny_clip: Clip) -> None:
    tower = TextTower(tiny_clip)
    learner = PromptLearner(tiny_clip, TEXTS, contexts=4)
    before = learner.class_weights(tower)
    with torch.no_grad():
        learner.contexts[1] += torch.randn_like(learner.contexts[1])
    changed = (learner.class_weights(tower) - before).abs().amax(dim=1) > 1e-4
    assert changed.tolist() == [False, True, False]


def test_members_of_a_class_are_averaged(tiny_clip: Clip) -> None:
    texts = [["a smiling mouth.", "raised cheeks, and laughter."], ["tears."]]
    weights = PromptLearner(tiny_clip, texts, contexts=0).class_weights(TextTower(tiny_clip))
    sentences = tiny_clip.tokenizer([texts[0][0], texts[0][1], texts[1][0]])
    first, second, tears = tiny_clip.model.encode_text(sentences, normalize=True)
    mean = (first + second) / 2
    torch.testing.assert_close(weights, torch.stack([mean / mean.norm(), tears]))


def test_a_repeated_member_counts_twice(tiny_clip: Clip) -> None:
    texts = [["a smiling mouth.", "a smiling mouth.", "raised cheeks."]]
    weights = PromptLearner(tiny_clip, texts, contexts=0).class_weights(TextTower(tiny_clip))
    first, second = tiny_clip.model.encode_text(tiny_clip.tokenizer(texts[0][1:]), normalize=True)
    mean = (2 * first + second) / 3
    torch.testing.assert_close(weights, (mean / mean.norm())[None])


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ({"contexts": 0}, 2),
        ({"contexts": 2, "context_kind": "unified"}, 2),
        ({"contexts": 2}, 3),  # the two of a class share its contexts, the other class has its own
        ({"contexts": 2, "member_contexts": "own"}, 4),
    ],
)
def test_repeated_prompts_are_encoded_once(tiny_clip: Clip, options: dict[str, Any], read: int) -> None:
    texts = [["tears.", "tears."], ["tears."], ["a smiling mouth."]]
    torch.manual_seed(1)
    learner, tower = PromptLearner(tiny_clip, texts, **options), TextTower(tiny_clip)
    seen: list[int] = []
    tower.register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    once = learner.member_weights(tower)
    each = F.normalize(tower(learner(), learner.ends), dim=-1)
    assert seen == [read, 4]
    torch.testing.assert_close(once, each)
    if learner.contexts.numel():
        goal = torch.randn_like(once)
        gradients = [torch.autograd.grad((w * goal).sum(), learner.contexts)[0] for w in (once, each)]
        torch.testing.assert_close(*gradients)


def test_the_longest_description_that_fits_is_whole(tiny_clip: Clip) -> None:
    text = " ".join(["eyes"] * 67)  # 67 + 8 contexts + start and end = 77
    assert PromptLearner(tiny_clip, [[text]], contexts=8)().shape[1] == 77


@pytest.mark.parametrize(
    ("words", "contexts", "sentence"),
    [
        (68, 8, "68 tokens; with start, end and 8 contexts tiny has room for 67 of 77"),
        (1, 75, "1 tokens; with start, end and 75 contexts tiny has room for 0 of 77"),
    ],
)
def test_a_description_that_does_not_fit_is_named(
    tiny_clip: Clip, words: int, contexts: int, sentence: str
) -> None:
    texts = [["tears."] if contexts == 8 else [""], [" ".join(["eyes"] * words)]]
    with pytest.raises(InputError) as caught:
        PromptLearner(tiny_clip, texts, contexts=contexts, class_names=["sadness", "fear"])
    assert str(caught.value).splitlines()[0] == f"the description of 'fear' has {sentence}"


def test_a_class_without_description_is_named(tiny_clip: Clip) -> None:
    with pytest.raises(InputError, match="'fear' has no description"):
        PromptLearner(tiny_clip, [["tears."], []], class_names=["sadness", "fear"])
    with pytest.raises(InputError, match="class 2 has no description"):
        PromptLearner(tiny_clip, [["tears."], []])


def test_names_and_texts_must_be_of_equal_number(tiny_clip: Clip) -> None:
    with pytest.raises(InputError, match="2 class names and the texts of 1 classes"):
        PromptLearner(tiny_clip, [["tears."]], class_names=["sadness", "fear"])
