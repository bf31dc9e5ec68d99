"""Near-duplicates: wordings of one feature share a normal form, and features that differ never do."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfer_prompts import rank
from dfer_prompts.normalize import normal_form


@pytest.mark.parametrize(
    "wordings",
    [
        ["raised eyebrows", "eyebrows raised", "Eyebrows that are raised.", "the eyebrows are raised",
         "raised brows", "raising of the eyebrows", "both eye-brows raised", "eyebrows being raised"],
        ["a raised eyebrow", "one eyebrow raised", "ONE RAISED EYEBROW", "one brow raised",
         "a single raised\teyebrow"],
        ["a furrowed brow", "furrowed eyebrows", "brows furrowed", "furrowing brows"],
        ["corners of the mouth turned down", "downturned mouth corners", "the mouth's corners turn down"],
        ["wide-open eyes", "eyes wide open", "widely opened eyes", "eyes that are wide open"],
        ["widened eyes", "wide eyes", "eyes widening"],
        ["wide, staring eyes", "wide and staring eyes", "eyes wide and staring"],
        ["heavily lidded eyes", "heavy-lidded eyes"],
        ["dilated pupils", "pupil dilation", "pupils dilating"],
        ["one side of its mouth raised", "mouth raised on one side"],
        ["a grey complexion", "gray complexion"],
        ["eyes open and mouth closed", "a closed mouth with open eyes"],
        ["left brow raised", "the left eyebrow is raised", "raised left eyebrow"],
        ["inner brows raised", "inner eyebrow raised", "raised inner eyebrows"],
    ],
)  # fmt: skip
def test_wordings_of_one_feature_share_their_normal_form(wordings: list[str]) -> None:
    assert len({normal_form(text) for text in wordings}) == 1


@pytest.mark.parametrize(
    "features",
    [
        ["raised eyebrows", "lowered eyebrows", "a raised eyebrow", "slightly raised eyebrows",
         "no raised eyebrows", "eyebrows not raised", "barely raised eyebrows", "raised cheeks"],
        ["upper lip raised", "raised lower lip", "lowered lips", "a lower lip", "upper and lower lips"],
        ["inner brow raised", "outer brow raised", "inner brow lowered", "brow raised"],
        ["inner brow raised, outer brow lowered", "outer brow raised, inner brow lowered"],
        ["inner brow raised, outer lowered", "outer raised, inner brow lowered"],
        ["raised corners and a lowered brow", "lowered corners and a raised brow"],
        ["left corner up and right corner down", "right corner up and left corner down"],
        ["eyes open and mouth closed", "mouth open and eyes closed"],
        ["upper teeth over lower lip", "lower teeth over upper lip"],
        ["teeth over the lip", "lip over the teeth"],
        ["left eyebrow raised right lowered", "right eyebrow raised left lowered"],
        ["eyebrows raised then lowered", "eyebrows lowered then raised"],
        ["eyebrows raised not furrowed", "eyebrows furrowed not raised"],
        ["eyes open, then closed", "eyes closed, then open"],
        ["eyebrows raised but not furrowed", "eyebrows furrowed but not raised"],
        ["corners of the mouth turned up", "corners of the mouth turned down"],
        ["tightly closed lips", "closed lips", "parted lips", "partly closed lips"],
        ["smooth forehead", "wrinkled forehead"],
        ["wide eyes narrow", "narrowed eyes widen"],
        ["an open mouth closes", "a closed mouth opens"],
        ["parted lips press", "pressed lips part"],
        ["tight lips relax", "relaxed lips tighten"],
        ["raised brows drop", "dropped brows rise"],
        ["a smile fades slowly grows quickly", "a smile fades quickly grows slowly"],
        ["calm becomes alarm", "alarm becomes calm"],
        ["calm replaces tension", "tension replaces calm"],
        ["top teeth visible bottom hidden", "bottom teeth visible top hidden"],
        ["कि", "का"],
    ],
)  # fmt: skip
def test_different_features_have_different_normal_forms(features: list[str]) -> None:
    assert len({normal_form(text) for text in features}) == len(features)


PLACES = ("", "upper ", "lower ", "inner ", "outer ", "left ", "right ")
PARTS = ("eyebrows", "eyelids", "lips", "mouth corners", "cheeks")
STATES = ("raised", "lowered", "tightened", "relaxed", "pulled up", "pulled down", "slightly parted")
ORDERS = ("{state} {place}{part}", "the {place}{part} {state}", "{place}{part} that are {state}",
          "{Place}{part} are {state}.")  # fmt: skip
features = st.tuples(*map(st.sampled_from, (PLACES, PARTS, STATES)))


def worded(feature: tuple[str, str, str], order: str) -> str:
    place, part, state = feature
    return order.format(place=place, Place=place.title(), part=part, state=state)


@given(features, features, st.sampled_from(ORDERS), st.sampled_from(ORDERS))
def test_normal_forms_are_equal_if_place_part_and_state_are(
    one: tuple, other: tuple, first: str, second: str
) -> None:
    assert (normal_form(worded(one, first)) == normal_form(worded(other, second))) == (one == other)


@given(features, features, features, features, st.sampled_from([" and ", ", ", " with "]))
def test_states_do_not_change_owners_between_clauses(
    a: tuple, b: tuple, c: tuple, d: tuple, glue: str
) -> None:
    forms = [normal_form(glue.join(worded(each, ORDERS[1]) for each in pair)) for pair in ((a, b), (c, d))]
    assert (forms[0] == forms[1]) == (sorted((a, b)) == sorted((c, d)))


def test_all_features_have_distinct_normal_forms() -> None:
    texts = [worded(feature, ORDERS[0]) for feature in product(PLACES, PARTS, STATES)]
    assert not [pair for pair in combinations(texts, 2) if normal_form(pair[0]) == normal_form(pair[1])]


@settings(max_examples=40, deadline=None)
@given(st.text())
def test_any_text_has_a_single_line_normal_form(text: str) -> None:
    assert len(normal_form(text).splitlines()) <= 1


@pytest.mark.parametrize("nothing", ["", "the", " .,;", "?!"])
def test_empty_texts_have_an_empty_normal_form(nothing: str) -> None:
    assert normal_form(nothing) == ""


def test_the_most_frequent_wording_is_the_text_and_others_are_stored() -> None:
    answers = [
        ["eyebrows raised", "a frown"],
        ["raised eyebrows"],
        ["raised eyebrows", "eyebrows that are raised", "lowered eyebrows"],
    ]
    first, *others = rank(answers, top_k=6)
    assert (first.text, first.support) == ("raised eyebrows", 3)
    assert first.wordings == ("eyebrows raised", "eyebrows that are raised")
    assert [(each.text, each.support) for each in others] == [("a frown", 1), ("lowered eyebrows", 1)]
