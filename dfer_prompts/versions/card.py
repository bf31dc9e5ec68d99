"""The dataset card of a version: its README.md with the metadata header of the HuggingFace hub.

Text of models, files and users is escaped and never read as markup.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..description_set import DescriptionSet, Manifest
from ..markdown import markdown_environment, one_line, shows

LONGEST = 300  # characters of a value on the card; the manifest has it in full
_TOLD = ("template", "template_sha256", "model", "base_url", "sampling")  # shown per member of an ensemble
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_KINDS = {
    "llm": "answers of a language model",
    "frames": "answers of a multimodal model to frames of training clips",
    "facs": "action units of the Facial Action Coding System",
    "paper": "a published paper",
    "import": "an imported file",
    "mixed": "several sources, by combining description sets",
}
_CONTROLS = "a control, made meaningless in one known way"


def card(name: str, draft: DescriptionSet, manifest: Manifest, *, has_responses: bool) -> str:
    """The README.md of the version `name`: Markdown with a YAML header."""
    body = (
        markdown_environment()
        .get_template("card.md.j2")
        .render(
            name=name,
            manifest=manifest,
            class_names=draft.class_names,
            rows=_sentences(draft),
            has_members=any(len(members) > 1 for members in draft.members.values()),
            has_responses=has_responses,
            kind=_CONTROLS if manifest.control else _KINDS.get(manifest.source, manifest.source),
            origin=_origin(manifest),
            template_texts=_template_texts(manifest),
            derivation=_derivation(manifest),
            license=license_identifier(manifest.license),
            lengths=_lengths(draft),
        )
    )
    return f"---\n{_header(name, draft, manifest)}\n---\n\n{body}\n"


def license_identifier(text: str) -> str:
    """The hub's identifier of a licence: "CC BY 4.0" is cc-by-4.0; unlisted licences are "other".

    List: https://huggingface.co/docs/hub/repositories-licenses
    """
    slug = "-".join(text.casefold().split())
    return slug if slug in _hub_licenses() else "other"


def _header(name: str, draft: DescriptionSet, manifest: Manifest) -> str:
    from huggingface_hub import CardData  # takes long to import

    licence = license_identifier(manifest.license)
    named: dict[str, Any] = (
        {"license_name": one_line(manifest.license)} if licence == "other" != manifest.license else {}
    )
    texts = [each.text for members in draft.members.values() for member in members for each in member]
    letters = [char for text in texts for char in text if char.isalpha()]
    in_english = sum(char.isascii() for char in letters) >= 0.9 * len(letters)
    # Not DatasetCardData, which would change the order of the keys and thus the digest of the card.
    header = CardData(
        license=licence,
        **named,
        pretty_name=f"Facial expression descriptors {name}",
        language=["en" if in_english else "und"],  # undetermined, ISO 639-2
        task_categories=["video-classification", "zero-shot-image-classification"],
        size_categories=[next((label for end, label in _SIZES if len(texts) < end), "n>1M")],
        tags=["facial-expression-recognition", "clip", "dfer-prompts"]
        + (["control"] if manifest.control else []),
        configs=[{"config_name": "default", "data_files": "descriptors.jsonl"}],
    )
    return header.to_yaml()


def _sentences(draft: DescriptionSet) -> list[tuple[str, int, str]]:
    return [
        (name, member, draft.description(name, member))
        for name in draft.class_names
        for member in range(len(draft.members[name]))
    ]


def _origin(manifest: Manifest) -> list[tuple[str, str]]:
    readings = ", ".join(f"{count} as {way}" for way, count in manifest.readings.items())
    template = f"{manifest.template} (SHA-256 {manifest.template_sha256})" if manifest.template else None
    failures = f"{len(manifest.failures)}, listed in manifest.yaml" if manifest.failures else None
    facts = {
        "Source": manifest.source,
        "Control": manifest.control,
        "Citation": manifest.citation,
        "Template": template,
        "Model": manifest.model,
        "Endpoint": manifest.base_url,
        "Sampling": ", ".join(f"{key} {value}" for key, value in manifest.sampling.items()),
        "Answers read": readings,
        "Requests without an answer": failures,
        "Licence": f"{manifest.license} (not specified)"
        if manifest.license == "unknown"
        else manifest.license,
    }
    return [(label, _shortened(value)) for label, value in facts.items() if value]


def _members_of(manifest: Manifest) -> list[Mapping[str, Any]]:
    """The origin of each member of an ensemble made by one generation."""
    members = manifest.derivation.get("members", [])
    readable = isinstance(members, list) and all(isinstance(each, Mapping) for each in members)
    return members if readable else []


def _derivation(manifest: Manifest) -> list[tuple[str, str]]:
    members = _members_of(manifest)
    messages = [
        (f"member {number}", "; ".join(f"{key} {_shortened(each[key])}" for key in _TOLD if each.get(key)))
        for number, each in enumerate(members)
    ]
    rest = {key: value for key, value in manifest.derivation.items() if not members or key != "members"}
    return [*((key, _shortened(value)) for key, value in rest.items()), *messages]


def _template_texts(manifest: Manifest) -> list[tuple[str, Any]]:
    """(name, text in a code block) of each template used."""
    used = [(manifest.template, manifest.template_text)]
    used += [(each.get("template"), each.get("template_text")) for each in _members_of(manifest)]
    return [(one_line(name or ""), _fenced(str(text))) for name, text in dict.fromkeys(used) if text]


def _lengths(draft: DescriptionSet) -> str:
    sizes = sorted({len(member) for members in draft.members.values() for member in members})
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def _fenced(text: str) -> Any:
    """A code block whose fence is longer than any run of backticks in the text."""
    from markupsafe import Markup

    lines = "\n".join("".join(filter(shows, line)) for line in text.expandtabs(4).splitlines())
    longest = max(map(len, re.findall(r"`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return Markup(f"{fence}text\n{lines}\n{fence}")  # noqa: S704 - no markup in a code block


def _shortened(value: object) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {each}" for key, each in value.items())
    line = one_line(value)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}... (in full in manifest.yaml)"


@cache
def _hub_licenses() -> frozenset[str]:
    return frozenset(Path(__file__).with_name("licenses.txt").read_text(encoding="utf-8").split())
