"""The demo language model: its questions, its training and its weights in numpy and torch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from dfer_model.synthetic.demo_lm.answers import TEMPLATE_SHARES, Corpus
from dfer_model.synthetic.demo_lm.model import DemoLM, LMConfig
from dfer_model.synthetic.demo_lm.sampler import FOLDER, Sampler
from dfer_model.synthetic.demo_lm.tokens import END, word_tokenizer
from dfer_model.synthetic.demo_lm.train_demo_lm import Recipe, answer_loss, batch_of, save, train
from dfer_prompts.classes import load_class_set
from dfer_prompts.templates import load_template
from dfer_prompts.workspace import SHIPPED_TEMPLATES, Workspace

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(REPOSITORY / "prompts", REPOSITORY / "dfer_prompts" / "generation" / "facs.yaml")


def test_training_questions_are_those_that_generate_sends(corpus: Corpus) -> None:
    mafw = load_class_set("mafw")
    asked = set(SHIPPED_TEMPLATES) - {"optimize", "frames", "frames-contrast"}  # not for the demo model
    assert set(TEMPLATE_SHARES) == asked
    words = [each.words for each in mafw.classes]
    for name in sorted(asked):
        template = load_template(name, Workspace(Path()))
        for each in mafw.classes:
            (message,) = template.messages(each, mafw)
            assert corpus.question(name, each.words, words) == message["content"]


def test_most_phrases_of_an_answer_belong_to_the_class(corpus: Corpus) -> None:
    rng = np.random.default_rng(0)
    for name in corpus.class_names:
        own = {phrase for wordings in corpus.movements[name] for phrase in wordings}
        drawn = [phrase for _ in range(50) for phrase in corpus.phrases(name, rng)]
        assert 0.8 < np.mean([phrase in own for phrase in drawn]) < 0.98, name


def test_the_shipped_weights_are_small_and_compute_the_same_in_numpy_and_torch() -> None:
    sampler = Sampler()
    file = FOLDER / "model.safetensors"
    assert file.stat().st_size < 4 * 2**20
    with safe_open(file, "pt") as opened:
        model = DemoLM(LMConfig(**json.loads(opened.metadata()["config"])))
        model.load_state_dict({name: opened.get_tensor(name).float() for name in opened.keys()})  # noqa: SIM118
    tokens = sampler.question(["What are useful visual features for the facial expression of anger?"])
    with torch.no_grad():
        expected = model(torch.tensor([tokens]))[0, -1].numpy()
    np.testing.assert_allclose(sampler.logits(tokens), expected, rtol=1e-3, atol=1e-3)


def test_the_tokenizer_keeps_text_and_cannot_be_given_marks() -> None:
    tokenizer = word_tokenizer(["- Raised cheeks,\n- it's 12", "<end>"])
    for text in ("- Raised cheeks,\n- it's 12", "<end>"):
        ids = tokenizer.encode(text).ids
        assert "".join(tokenizer.id_to_token(each) for each in ids) == text
        assert tokenizer.token_to_id(END) not in ids


def test_the_loss_counts_the_tokens_of_answers_only(corpus: Corpus) -> None:
    rng = np.random.default_rng(0)
    tokenizer = word_tokenizer(corpus.pair("paper", rng)[i] for _ in range(20) for i in range(2))
    tokens, is_answer = batch_of(corpus, tokenizer, "paper", 3, rng)
    model = DemoLM(LMConfig(tokenizer.get_vocab_size(), width=16, layers=1, heads=2))
    shares = model(tokens).log_softmax(-1)
    expected = [
        -shares[row, place - 1, tokens[row, place]].item()
        for row in range(3)
        for place in range(1, tokens.shape[1])
        if is_answer[row, place]
    ]
    assert answer_loss(model, tokens, is_answer).item() == pytest.approx(np.mean(expected), rel=1e-4)
    last = [int(row.nonzero().max()) for row in is_answer]
    assert {int(tokens[i, place]) for i, place in enumerate(last)} == {tokenizer.token_to_id(END)}


def test_a_trained_model_is_saved_and_sampled(corpus: Corpus, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texts = [text for name in TEMPLATE_SHARES for _ in range(5) for text in corpus.pair(name, rng)]
    tokenizer = word_tokenizer(texts)
    model = train(corpus, tokenizer, Recipe(steps=2, batch=8))
    save(model, LMConfig(tokenizer.get_vocab_size()), tokenizer, tmp_path)
    sampler = Sampler(tmp_path)
    answer = sampler.sample(sampler.question(["a face"]), temperature=1.0, top_p=1.0, max_tokens=4, seed=1)
    assert (answer.tokens, answer.finish_reason) == (4, "length")
