"""The dataset card: complete, read by the hub's own library, and text of others stays text on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard

from dfer_prompts.description_set import Seen
from dfer_prompts.versions.card import license_identifier
from dfer_prompts.versions.store import DescriptionStore
from dfer_prompts.workspace import Workspace

from ..drafts import draft


@pytest.fixture
def store(isolated: Path) -> DescriptionStore:
    return DescriptionStore(Workspace(isolated))


def written(store: DescriptionStore, members: Any = None, **manifest: Any) -> str:
    store.save(draft(members, **manifest), "mine")
    return (store.path("mine") / "README.md").read_text(encoding="utf-8")


def header(card: str) -> dict[str, Any]:
    return DatasetCard(card).data.to_dict()


def test_the_hub_reads_the_header(store: DescriptionStore) -> None:
    assert header(written(store, license="CC BY 4.0")) == {
        "license": "cc-by-4.0",
        "pretty_name": "Facial expression descriptors mine",
        "language": ["en"],
        "task_categories": ["video-classification", "zero-shot-image-classification"],
        "size_categories": ["n<1K"],
        "tags": ["facial-expression-recognition", "clip", "dfer-prompts"],
        "configs": [{"config_name": "default", "data_files": "descriptors.jsonl"}],
    }


@pytest.mark.parametrize(
    ("given", "identifier", "name"),
    [
        ("unknown", "unknown", None),
        ("MIT", "mit", None),
        ("other", "other", None),
        ("My own: terms\n---\nprivate: true", "other", "My own: terms --- private: true"),
    ],
)
def test_a_licence_is_one_that_the_hub_knows(
    store: DescriptionStore, given: str, identifier: str, name: str | None
) -> None:
    read = header(written(store, license=given))
    assert (read["license"], read.get("license_name")) == (identifier, name)
    assert license_identifier(given) == identifier
    assert "private" not in read


def test_the_language_of_other_scripts_is_undetermined(store: DescriptionStore) -> None:
    members = {"joy": [["嘴角上扬", "脸颊抬起"]], "anger": [["皱起的眉头"]]}
    assert header(written(store, members))["language"] == ["und"]


def test_a_card_is_complete(store: DescriptionStore) -> None:
    card = written(
        store,
        model="qwen3-8b",
        base_url="http://localhost:8000/v1",
        template="mine",
        template_sha256="ab" * 32,
        template_text="What does {{ expression }} look like?",
        sampling={"temperature": 0.7, "seed": 1},
        readings={"json_schema": 9, "text": 1},
        parents=["v2", "v1@4"],
        parent_sha256={"v2": "cd" * 32},
        derivation={"command": "ensemble", "how": "members"},
        seen=[Seen(dataset="dfew", fingerprint="f0", folds=(1, 3))],
        failures=[{"class_name": "anger", "reason": "refused"}],
    )
    for text in (
        "| class | member | description |",
        "| anger | 1 | a glare and tight lips. |",
        "| happiness | 0 | a smile, raised cheeks, and bright eyes. |",
        'load_dataset("descriptions/mine", split="train")',
        'load("mine")',
        "- Model: qwen3-8b",
        "- Endpoint: http://localhost:8000/v1",
        f"- Template: mine (SHA-256 {'ab' * 32})",
        "```text\nWhat does {{ expression }} look like?\n```",
        "- Sampling: temperature 0.7, seed 1",
        "- Answers read: 9 as json\\_schema, 1 as text",
        f"- Derived from v2, content SHA-256 {'cd' * 32}\n- Derived from v1@4\n"
        "- command: ensemble\n- how: members",
        "**Seen:** folds 1, 3 of dfew (fingerprint f0)",
        "must not be tested on them",
        "A language model wrote the descriptors",
        "Requests without an answer: 1, so some classes",
        "not what a person feels",
        "The text is English",
    ):
        assert text in card
    assert "meaningless" not in card
    assert "responses.jsonl" not in card


def test_the_card_has_the_template_of_each_member(store: DescriptionStore) -> None:
    members = [
        {"template": name, "template_sha256": 2 * name, "template_text": f"{name}?\n```", "model": model,
         "base_url": "http://localhost/v1", "sampling": {"seed": 7}}
        for name, model in (("one", "small"), ("one", "large"), ("two", "small"))
    ]  # fmt: skip
    card = written(store, derivation={"command": "generate --ensemble", "members": members})
    assert card.count("````text\none?\n```\n````") == card.count("````text\ntwo?\n```\n````") == 1
    assert (
        "- command: generate --ensemble\n"
        "- member 0: template one; template\\_sha256 oneone; model small; "
        "base\\_url http://localhost/v1; sampling seed 7\n"
        "- member 1: template one; template\\_sha256 oneone; model large; "
    ) in card
    assert "- member 2: template two; " in card
    assert "template_text" not in card


def test_the_card_of_several_sources_has_the_limits_of_each(store: DescriptionStore) -> None:
    assert "come from several sources: the limits of each" in written(store, source="mixed")


def test_the_card_of_a_control_explains_it(store: DescriptionStore) -> None:
    card = written(store, source="control:swapped", control="swapped")
    assert "This is a control (swapped): it is meaningless on purpose." in card
    assert "control" in header(card)["tags"]
    assert "| class | member |" in card


def test_the_card_of_one_member_has_no_member_column(store: DescriptionStore) -> None:
    card = written(store, {"joy": [["a smile"]], "anger": [["a frown"]]})
    assert "| class | description |\n| --- | --- |\n| joy | a smile. |\n| anger | a frown. |\n" in card


HOSTILE = "`x`|**b** _i_ ~~s~~ $m$ <script>alert(1)</script> [l](http://e) ![i](http://e) {{ 1 + 1 }} \\"


def test_foreign_text_is_no_markup(store: DescriptionStore) -> None:
    card = written(
        store,
        {"happiness": [[HOSTILE]], "anger": [["--- # h"]]},
        model=f"{HOSTILE}\n---\nlicense: mit\n\n# Heading\n\x1b[2J\u202e",
        derivation={"note|<b>": "# no heading\n- no list", "log": ["step"] * 1000},
        sampling={"<i>": "<i>"},
    )
    shown = (
        r"\`x\`\|\*\*b\*\* \_i\_ \~\~s\~\~ \$m\$ &lt;script&gt;alert(1)&lt;/script&gt; \[l\](http://e) "
        r"!\[i\](http://e) {{ 1 + 1 }} \\"
    )
    assert f"| happiness | {shown}. |\n| anger | --- \\# h. |\n" in card
    assert f"- Model: {shown} --- license: mit \\# Heading \\[2J\n" in card
    assert "- note\\|&lt;b&gt;: \\# no heading - no list\n" in card
    assert "... (in full in manifest.yaml)\n" in card
    assert header(card)["license"] == "unknown"
    for raw in ("<script", "<i>", "<b>", "\x1b", "\u202e", "\n# Heading"):
        assert raw not in card


def test_a_template_cannot_close_its_code_block(store: DescriptionStore) -> None:
    text = "````\n# out?\n```\n---\n<script>\x1b[2J {% if x %}"
    card = written(store, template="t", template_text=text)
    assert "\n`````text\n````\n# out?\n```\n---\n<script>[2J {% if x %}\n`````\n" in card
    assert header(card)["license"] == "unknown"


def test_datasets_opens_the_folder(
    store: DescriptionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(store, {"yes: no": [[HOSTILE]], "anger": [["a frown", "a glare"]]}, license="a: b # c")
    for name, value in {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    program = "import sys, datasets; print(datasets.load_dataset(sys.argv[1], split='train')[:]['rank'])"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(store.path("mine"))],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert ended.stdout.strip() == "[1, 1, 2]"
