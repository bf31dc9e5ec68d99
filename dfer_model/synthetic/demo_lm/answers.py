"""Questions and answers from which the demo language model learns.

A question is a shipped template, rendered for a class. An answer lists phrases for movements of the class in
one of several forms. The movements are those of the project's FACS table and of `answers.yaml`; their phrases
are those of the table and of the demo CLIP's captions. Some phrases of an answer belong to another class or
are not visible in a face, so that only agreement over several answers separates them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from dfer_model.yaml_loader import load_yaml

from ..demo_clip.captions import REGIONS, sayings

TEMPLATE_SHARES = {
    "paper": 0.45,
    "paper-fewshot": 0.09,
    "structured": 0.1,
    "contrastive": 0.09,
    "action-units": 0.09,
    "temporal": 0.09,
    "synonyms": 0.09,
}
"""How often each template is the question of a training batch."""

WORDINGS = 4  # phrases of the captions per movement and class
OTHER_CLASS = 0.1  # probability that a phrase belongs to another class
USELESS = 0.2  # probability that an answer has an item that is not visible in a face
_FRONT_MATTER = re.compile(r"---[ \t]*\n.*?\n---[ \t]*\n(.*)", re.DOTALL)


class Corpus:
    """Questions and answers from the templates in the folder `prompts` and the FACS table `facs` (YAML)."""

    def __init__(self, prompts: Path, facs: Path, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self._texts = load_yaml(Path(__file__).with_name("answers.yaml").read_text(encoding="utf-8"))
        self.class_names: tuple[str, ...] = tuple(self._texts["classes"])
        looks = load_yaml(facs.read_text(encoding="utf-8"))["classes"]
        self.movements = {name: self._movements(looks[name]["looks"], name, rng) for name in self.class_names}
        environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701  plain text
        self._templates = {
            name: environment.from_string(_body(prompts / f"{name}.md")) for name in TEMPLATE_SHARES
        }

    def question(self, template: str, expression: str, expressions: Sequence[str]) -> str:
        """The prompt that `generate` sends for a class, among the words of all classes."""
        values = {"expression": expression, "expressions": list(expressions)}
        return self._templates[template].render(values).strip()

    def pair(self, template: str, rng: np.random.Generator) -> tuple[str, str]:
        """A question and an answer, for a random class among all eleven, the first seven, or some of them."""
        chosen = list(self.class_names)
        if rng.random() < 0.4:
            chosen = chosen[:7]
        elif rng.random() < 0.4:
            chosen = [str(name) for name in rng.permutation(chosen)[: rng.integers(2, len(chosen) + 1)]]
        expression = str(rng.choice(chosen))
        return self.question(template, expression, chosen), self.answer(template, expression, rng)

    def answer(self, template: str, expression: str, rng: np.random.Generator) -> str:
        """An answer for one class, in the form that the template asks for or, sometimes, in another one."""
        if template == "synonyms":
            return _bullets(self._names(expression, rng), rng)
        items = self.phrases(expression, rng)
        if template == "structured":
            return _as_json(items, rng)
        if template == "temporal":
            phases = np.sort(rng.integers(0, len(_PHASES), len(items)))
            items = [_PHASES[phase].format(item) for item, phase in zip(items, phases, strict=True)]
        return self._text(items, expression, rng, is_free=template.startswith("paper"))

    def phrases(self, expression: str, rng: np.random.Generator) -> list[str]:
        """Six to eight distinct phrases for a class, the most typical movements first, with some noise."""
        movements = self.movements[expression]
        count = min(int(rng.integers(6, 9)), len(movements))
        typical = np.argsort(np.arange(len(movements)) * 0.35 + rng.gumbel(size=len(movements)))[:count]
        items = []
        for place in typical:
            wordings = movements[int(place)]
            if rng.random() < OTHER_CLASS:
                other = self.movements[str(rng.choice(self.class_names))]
                wordings = other[int(rng.integers(len(other)))]
            shares = 1 / np.arange(1, len(wordings) + 1) ** 1.3
            items.append(str(rng.choice(wordings, p=shares / shares.sum())))
        if rng.random() < USELESS:
            items.insert(int(rng.integers(1, len(items) + 1)), str(rng.choice(self._texts["useless"])))
        return list(dict.fromkeys(items))

    def _movements(
        self, looks: Sequence[Mapping[str, Any]], name: str, rng: np.random.Generator
    ) -> list[list[str]]:
        """The movements of a class, each as its wordings, the most frequent first."""
        found = []
        for look in looks:
            units = {self._texts["action_units"].get(number, "") for number in look["units"]}
            # The captions of a unit show both sides of the face.
            is_one_sided = look["visible"].startswith("one ")
            wordings = [] if is_one_sided else self._captions.get(frozenset(units), [])
            found.append([look["visible"], *_some(wordings, WORDINGS - 1, rng)])
        units = self._texts["classes"][name]["units"]
        return found + [_some(self._captions[frozenset({unit})], WORDINGS, rng) for unit in units]

    @cached_property
    def _captions(self) -> dict[frozenset[str], list[str]]:
        """Phrases of the demo CLIP's captions of two to five words, by the units that they need."""
        regions = {units: f"rests:{name}" for name, units in REGIONS.items()}
        found: dict[frozenset[str], list[str]] = {}
        for saying in sayings():
            units = frozenset(saying.needs) if saying.needs else frozenset({regions[saying.lacks]})
            short = [phrase for phrase in saying.phrases if 2 <= len(phrase.split()) <= 5]
            found.setdefault(units, []).extend(short)
        return found

    def _names(self, expression: str, rng: np.random.Generator) -> list[str]:
        words = self._texts["classes"][expression]["words"]
        phrases = []
        for word in words:
            article = "an" if word[0] in "aeiou" else "a"
            phrases += [f"{article} {word} face", f"{article} {word} look", f"{article} {word} expression"]
        phrases.append(f"an expression of {expression}")
        return [str(each) for each in rng.permutation(phrases)[: rng.integers(8, 11)]]

    def _text(self, items: list[str], expression: str, rng: np.random.Generator, *, is_free: bool) -> str:
        if rng.random() < (0.2 if is_free else 0.04):
            form = str(rng.choice(self._texts["prose"]))
            listed = ", ".join(items[:-1]) + ", and " + items[-1]
            return form.format(expression=expression, items=listed)
        text = _numbers(items, rng) if is_free and rng.random() < 0.4 else _bullets(items, rng)
        if rng.random() < (0.5 if is_free else 0.15):
            opening = str(rng.choice(self._texts["openings"])).format(expression=expression)
            text = opening + str(rng.choice(["\n", "\n\n"])) + text
        if rng.random() < (0.2 if is_free else 0.05):
            text += "\n\n" + str(rng.choice(self._texts["closings"]))
        return text


_PHASES = (
    "{} slowly appearing",
    "{} beginning to show",
    "{} at the peak",
    "{} held for a moment",
    "{} slowly fading",
)


def _body(template: Path) -> str:
    match = _FRONT_MATTER.fullmatch(template.read_text(encoding="utf-8"))
    if match is None:
        raise ValueError(f"{template} has no front matter")
    return match[1]


def _some(phrases: Sequence[str], count: int, rng: np.random.Generator) -> list[str]:
    return [str(each) for each in rng.permutation(list(phrases))[:count]]


def _bullets(items: Sequence[str], rng: np.random.Generator) -> str:
    mark = "- " if rng.random() < 0.85 else "* "
    return "\n".join(mark + item for item in _cased(items, rng))


def _numbers(items: Sequence[str], rng: np.random.Generator) -> str:
    mark = ". " if rng.random() < 0.8 else ") "
    return "\n".join(f"{i}{mark}{item}" for i, item in enumerate(_cased(items, rng), start=1))


def _cased(items: Sequence[str], rng: np.random.Generator) -> list[str]:
    upper, stop = rng.random() < 0.4, "." if rng.random() < 0.15 else ""
    return [(item[0].upper() + item[1:] if upper else item) + stop for item in items]


def _as_json(items: Sequence[str], rng: np.random.Generator) -> str:
    text = json.dumps({"descriptors": list(items)})
    return f"```json\n{text}\n```" if rng.random() < 0.25 else text
