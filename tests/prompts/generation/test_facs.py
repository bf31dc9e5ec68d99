"""FACS: what the table holds and what sets are made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_prompts import InputError, facs_set, load_class_set
from dfer_prompts.generation.facs import facs_table

EMFACS = {  # Friesen & Ekman 1983; contempt is R12A + R14A
    "happiness": {6, 12}, "sadness": {1, 4, 15}, "surprise": {1, 2, 5, 26}, "fear": {1, 2, 4, 5, 7, 20, 26},
    "anger": {4, 5, 7, 23}, "disgust": {9, 15, 16}, "contempt": {12, 14}, "neutral": set(),
}  # fmt: skip
# Du, Tao & Martinez 2014, table 1: the units of more than 70% of the people
DU = {
    "happiness": {12, 25}, "sadness": {4, 15}, "fear": {1, 4, 20, 25}, "anger": {4, 7, 24},
    "surprise": {1, 2, 25, 26}, "disgust": {9, 10, 17},
}  # fmt: skip


def units(name: str) -> set[int]:
    return {unit for look in facs_table().classes[name].looks for unit in look.units}


@pytest.mark.parametrize("name", EMFACS)
def test_the_action_units_of_the_literature_are_in_the_table(name: str) -> None:
    assert units(name) >= EMFACS[name] | DU.get(name, set())


def test_the_table_names_every_unit_and_reference_it_uses() -> None:
    table = facs_table()
    assert table.classes.keys() == set(load_class_set("mafw").names)
    assert {unit for name in table.classes for unit in units(name)} == table.action_units.keys()
    assert {key for entry in table.classes.values() for key in entry.references} == table.references.keys()


def test_the_table_records_the_basis_of_each_class() -> None:
    basis = {name: entry.basis for name, entry in facs_table().classes.items()}
    assert {name for name, found in basis.items() if found == "none"} == {"helplessness", "disappointment"}
    assert {name for name, found in basis.items() if found == "moderate"} == {"contempt", "anxiety"}


@pytest.mark.parametrize("name", ["dfew", "ferv39k", "mafw", "mafw-compound"])
def test_every_class_has_at_least_four_and_distinct_descriptors(name: str) -> None:
    made = facs_set(load_class_set(name))
    assert facs_set(load_class_set(name), top_k=4).class_names == load_class_set(name).names
    sentences = [made.description(each) for each in made.class_names]
    assert len(set(sentences)) == len(sentences)
    assert made.manifest.source == "facs"
    assert "Friesen & Ekman" in str(made.manifest.citation)


def test_compound_classes_alternate_without_duplicates() -> None:
    made = facs_set(load_class_set("mafw-compound"))
    assert made.description("fear_anxiety") == (
        "eyebrows raised and drawn together, inner eyebrows raised and drawn together, "
        "lips stretched sideways, eyes darting from side to side, "
        "eyes wide open with white above the iris, tensed lower eyelids, rapid blinking, and parted lips."
    )


def test_descriptions_fit_clip_with_eight_context_vectors() -> None:
    from open_clip import SimpleTokenizer

    made = facs_set(load_class_set("mafw-compound"))
    tokenizer = SimpleTokenizer()
    assert max(len(tokenizer.encode(made.description(name))) for name in made.class_names) <= 77 - 2 - 8


def test_aliases_of_an_own_class_set_are_found_and_unknown_classes_named() -> None:
    Path("own.yaml").write_text(
        "name: own\nclasses: [Happy, {name: rage, aliases: [angry]}, {name: x, words: fear}]",
        encoding="utf-8",
    )
    made = facs_set(load_class_set("own.yaml"), top_k=1)
    assert made.class_texts(["Happy", "rage", "x"]) == [
        ["lip corners pulled up and back."],
        ["eyebrows lowered and drawn together."],
        ["eyebrows raised and drawn together."],
    ]
    Path("own.yaml").write_text("name: own\nclasses: [happy, boredom]", encoding="utf-8")
    with pytest.raises(InputError, match="does not contain the class 'boredom'\nIt contains happiness"):
        facs_set(load_class_set("own.yaml"))


def test_too_large_a_k_is_an_error_that_names_the_class() -> None:
    with pytest.raises(InputError, match=r"fewer than 5 descriptors of: happiness \(4\)"):
        facs_set(load_class_set("dfew"), top_k=5)
