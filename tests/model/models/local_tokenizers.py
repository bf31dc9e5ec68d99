"""Small tokenizers with the marks and padding of SigLIP, SigLIP2, CLIPA and MetaCLIP 2, as hub files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = (
    "a",
    "smiling",
    "mouth",
    "raised",
    "cheeks",
    "tears",
    "furrowed",
    "eyebrows",
    "narrow",
    "eyes",
    ",",
    ".",
)


def save_tokenizer(
    folder: Path, special: list[str], template: str, config: dict[str, Any], model_type: str = "t5"
) -> Path:
    """Write tokenizer.json and tokenizer_config.json; tokens are words, and `special` has the first ids.

    `template` is that of a text, such as `$A </s>`. config.json is what transformers requires beside them.
    """
    vocabulary = {token: number for number, token in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=special[2]))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    used = [(token, vocabulary[token]) for token in special if token in template.split()]
    tokenizer.post_processor = processors.TemplateProcessing(single=template, special_tokens=used)
    tokenizer.enable_truncation(3)  # as some released files have; neither may shorten a text
    tokenizer.enable_padding(length=5)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": special[2], **config}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
    return folder


def siglip_tokenizer(folder: Path) -> Path:
    """No start token; the end token, 1, is also padding, as in T5's vocabulary for SigLIP."""
    config = {"pad_token": "</s>", "eos_token": "</s>"}
    return save_tokenizer(folder, ["<pad>", "</s>", "<unk>"], "$A </s>", config)


def siglip2_tokenizer(folder: Path) -> Path:
    """No start token, end token 1, padding 0, as in Gemma's vocabulary."""
    config = {"pad_token": {"__type": "AddedToken", "content": "<pad>"}, "eos_token": "<eos>"}
    return save_tokenizer(folder, ["<pad>", "<eos>", "<unk>", "<bos>"], "$A <eos>", config)


def bert_tokenizer(folder: Path) -> Path:
    """CLIPA's: start and separator, padding 0; open_clip replaces the separator by 0."""
    config = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    return save_tokenizer(folder, ["[PAD]", "[CLS]", "[UNK]", "[SEP]"], "[CLS] $A [SEP]", config, "bert")


def xlm_tokenizer(folder: Path) -> Path:
    """MetaCLIP 2's: start 0, padding 1, end 3."""
    config = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return save_tokenizer(folder, ["<s>", "<pad>", "<unk>", "</s>"], "<s> $A </s>", config, "xlm-roberta")
