"""The log: what came from what, by the manifests alone, whatever state they are in."""

from __future__ import annotations

from pathlib import Path

import pytest

from dfer_prompts import DescriptionSet, DescriptionStore, Workspace
from dfer_prompts.description_set import lineage
from dfer_prompts.ensembles import members
from dfer_prompts.errors import InputError
from dfer_prompts.versions.edit import edited
from dfer_prompts.versions.lineage import Entry, how_made, log

from ..drafts import draft

JOY = {"joy": [["a smile", "tears"]]}


@pytest.fixture
def store(isolated: Path) -> DescriptionStore:
    """v2 from a model, v3 an edit of v2@1, v4 an ensemble of v2 and v3; v5 stands alone and is the newest."""
    made = DescriptionStore(Workspace(isolated))
    v2 = made.save(draft(JOY, model="m", template="paper", created="2026-01-02T00:00:00+00:00"))
    v3 = made.save(edited(v2.top(1), "joy: [laughter]", message="try"))
    made.save(members([v2, v3], [2, 1]))
    made.save(draft(JOY, source="facs", created="2999-01-01T00:00:00+00:00"))
    return made


def by_name(entries: list[Entry]) -> dict[str, Entry]:
    return {entry.name: entry for entry in entries}


def parents_of(entries: list[Entry]) -> dict[str, list[tuple[str, str | None]]]:
    return {entry.name: [(each.ref, each.problem) for each in entry.parents] for entry in entries}


def test_the_log_of_a_version_has_its_ancestors(store: DescriptionStore) -> None:
    entries = log(store, "v4@1")
    assert [entry.name for entry in entries] == ["v4", "v2", "v3"]
    assert parents_of(entries) == {"v4": [("v2", None), ("v3", None)], "v2": [], "v3": [("v2@1", None)]}
    made = by_name(entries)
    assert made["v4"].how == "ensemble: how members; weights 2, 1"
    assert made["v3"].how == "edit: added 1; removed 1; message try"
    assert made["v2"].how == "llm: m with the template paper"
    assert made["v3"].parents[0].sha256 == store.load("v2@1").sha256


def test_the_log_begins_with_the_newest_versions_without_descendants(store: DescriptionStore) -> None:
    own = [entry.name for entry in log(store) if entry.name != "v1"]
    assert own == ["v5", "v4", "v2", "v3"]
    assert by_name(log(store))["v1"].how == "paper"


def test_a_missing_or_changed_parent_is_marked(store: DescriptionStore, isolated: Path) -> None:
    rows = isolated / "descriptions" / "v2" / "descriptors.jsonl"
    rows.write_text(rows.read_text().replace('"tears"', '"sobs"'))
    assert parents_of(log(store, "v4")) == {
        "v4": [("v2", "v2 here differs from the parent it was derived from"), ("v3", None)],
        "v2": [],
        "v3": [("v2@1", None)],  # the first descriptor, of which it was made, is as it was
    }
    rows.unlink()
    (problem,) = {each.problem for each in by_name(log(store, "v3"))["v3"].parents}
    assert problem is not None
    assert problem.startswith("v2@1 cannot be read: ")
    rows.parent.rename(isolated / "elsewhere")
    assert parents_of(log(store, "v3")) == {"v3": [("v2@1", "v2 does not exist here")]}
    assert not by_name(log(store))["v3"].parents[0].here


def test_an_unreadable_version_does_not_hide_others(store: DescriptionStore, isolated: Path) -> None:
    (isolated / "descriptions" / "v3" / "manifest.yaml").write_text("[")
    entries = by_name(log(store))
    assert set(entries) == {"v1", "v2", "v3", "v4", "v5"}
    assert "manifest.yaml is not valid YAML" in (entries["v3"].problem or "")
    with pytest.raises(InputError, match="no description set 'v9'"):
        log(store, "v9")


def test_a_cycle_of_parents_ends(isolated: Path) -> None:
    store = DescriptionStore(Workspace(isolated))
    for name, parent in (("a", "b"), ("b", "a"), ("c", "c")):
        store.save(draft(JOY, parents=[parent]), name)
    assert [entry.name for entry in log(store, "a")] == ["a", "b"]
    assert sorted(entry.name for entry in log(store)) == ["a", "b", "c", "v1"]


def test_parents_with_invalid_names_are_shown_as_text(isolated: Path) -> None:
    store = DescriptionStore(Workspace(isolated))
    store.save(draft(JOY, parents=["../../etc", "control:x", ""]), "v2")
    assert parents_of(log(store, "v2"))["v2"] == [
        ("../../etc", "../../etc does not exist here"),
        ("control:x", "control:x does not exist here"),
        ("", " does not exist here"),
    ]


def test_the_derivation_is_one_short_line() -> None:
    def how(**manifest: object) -> str:
        return how_made(draft(JOY, **manifest).manifest)

    assert how() == "llm"
    assert how(derivation={"command": "search", "k": 0, "none": None, "empty": []}) == "search: k 0"
    assert how(derivation={"log": [{"a": "b" * 99}]}) == 'llm: log [{"a": "' + "b" * 52 + "..."
    assert how(derivation={"command": "edit", "message": "two\nlines"}) == "edit: message two lines"


def test_a_long_line_of_descent(isolated: Path) -> None:
    store = DescriptionStore(Workspace(isolated))
    made: DescriptionSet = store.save(draft(JOY))
    for _ in range(30):
        manifest = made.manifest.model_copy(update=lineage([made]))
        made = store.save(DescriptionSet("", made.class_names, made.members, manifest))
    assert [entry.name for entry in log(store, "v32")] == [f"v{number}" for number in range(32, 1, -1)]
