"""`generate`, `generate_all` and `dry_run`: from names to saved versions, over a real HTTP server."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from dfer_prompts.errors import InputError, Interrupted, WorkError
from dfer_prompts.generation.dry_run import DryRun, dry_run
from dfer_prompts.generation.generate import generate, generate_all
from dfer_prompts.llm.usage import Progress
from dfer_prompts.versions.lineage import log
from dfer_prompts.versions.store import DescriptionStore, load
from dfer_prompts.workspace import Workspace

from ..endpoint import FakeEndpoint, Reply, completion, ordinary

PRICES = "prices:\n  tiny: {prompt: 0.5, completion: 2.0}\n"


@pytest.fixture
def workspace(isolated: Path, endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    return Workspace(isolated)


def write_template(workspace: Workspace, name: str, text: str, *lines: str) -> None:
    workspace.prompts.mkdir(exist_ok=True)
    matter = "\n".join(["---", f"name: {name}", "purpose: A test.", *lines, "---"])
    (workspace.prompts / f"{name}.md").write_text(f"{matter}\n{text}\n")


def versions(workspace: Workspace) -> list[str]:
    return [name for name in DescriptionStore(workspace).list() if name != "v1"]


def test_a_notebook_gets_a_saved_version(workspace: Workspace, endpoint: FakeEndpoint) -> None:
    made = generate("dfew", base_url=endpoint.base_url, samples=3)
    assert made.descriptions.name == "v2"
    assert load("v2", workspace).description("anger") == made.descriptions.description("anger")
    assert (made.asked, made.found, made.cost) == (21, 0, None)
    manifest = made.descriptions.manifest
    assert manifest.template_text is not None
    assert "{{ expression }}" in manifest.template_text
    assert manifest.readings == {"text": 21}
    assert manifest.license == "unknown"


def test_stored_answers_are_parsed_again_into_a_new_version_without_a_request(
    workspace: Workspace, endpoint: FakeEndpoint
) -> None:
    generate("dfew", samples=2)
    endpoint.requests.clear()
    again = generate("dfew", samples=2, top_k=3, rank="order")
    assert endpoint.requests == []
    assert (again.descriptions.name, again.asked, again.found) == ("v3", 0, 14)
    assert again.descriptions.manifest.sampling["rank"] == "order"
    assert {len(member) for (member,) in again.descriptions.members.values()} == {3}


def test_a_caller_can_stop_the_requests_and_the_answers_are_stored(
    workspace: Workspace, endpoint: FakeEndpoint
) -> None:
    def report(progress: Progress) -> None:
        if progress.total.answered == 3:
            raise Interrupted("the reader left")

    with pytest.raises(Interrupted, match="the reader left"):
        generate("dfew", samples=2, concurrency=1, report=report)
    assert len(endpoint.requests) < 14
    assert versions(workspace) == []
    assert generate("dfew", samples=2).found == 3


def test_licence_and_prices_are_read_from_dfer_yaml(workspace: Workspace) -> None:
    (workspace.root / "dfer.yaml").write_text(f"license: cc-by-4.0\n{PRICES}")
    made = generate("dfew", samples=1, workspace=Workspace(workspace.root))
    assert made.descriptions.manifest.license == "cc-by-4.0"
    # 7 requests of 40 + 20 tokens: 280 at 0.5 and 140 at 2 dollars a million.
    assert made.cost == pytest.approx((280 * 0.5 + 140 * 2.0) / 1e6)


def test_every_model_is_requested_with_every_template(workspace: Workspace, endpoint: FakeEndpoint) -> None:
    endpoint.models = ["tiny", "large"]
    write_template(workspace, "own", "How does {{ expression }} look?")
    made = generate_all("dfew", template=["paper", "own"], model=["tiny", "large"], samples=1)
    names = [(each.descriptions.name, each.descriptions.manifest.template) for each in made]
    assert names == [("v2", "paper"), ("v3", "paper"), ("v4", "own"), ("v5", "own")]
    assert [each.descriptions.manifest.model for each in made] == ["tiny", "large"] * 2
    assert len(endpoint.requests) == 28


def test_an_ensemble_has_a_member_per_model_and_template(
    workspace: Workspace, endpoint: FakeEndpoint
) -> None:
    write_template(workspace, "own", "How does {{ expression }} look?")
    endpoint.script = lambda body, earlier: (
        Reply(completion("- a stare", finish="length"))
        if body["messages"][0]["content"] == ("How does fear look?") and body["seed"] == 1
        else ordinary(body)
    )
    (made,) = generate_all("dfew", template=["paper", "own"], ensemble=True, version="both", samples=2)
    saved = load("both", workspace)
    assert {len(members) for members in saved.members.values()} == {2}
    manifest = saved.manifest
    assert manifest.source == "llm"
    assert (manifest.model, manifest.base_url, manifest.template) == ("tiny", endpoint.base_url, None)
    assert manifest.derivation["command"] == "generate --ensemble"
    assert [each["template"] for each in manifest.derivation["members"]] == ["paper", "own"]
    assert manifest.readings == {"text": 27}
    (failure,) = manifest.failures
    assert (failure["template"], failure["class_name"], failure["reason"]) == ("own", "fear", "truncated")
    rows = (workspace.descriptions / "both" / "responses.jsonl").read_text().splitlines()
    assert [json.loads(row)["template"] for row in rows] == ["paper"] * 14 + ["own"] * 14
    assert (made.asked, made.failed) == (28, 1)
    assert versions(workspace) == ["both"]


def test_a_later_failure_keeps_the_earlier_versions_and_names_them(
    workspace: Workspace, endpoint: FakeEndpoint
) -> None:
    write_template(workspace, "own", "How does {{ expression }} look?")
    endpoint.script = lambda body, earlier: (
        Reply({"error": {"message": "no"}}, status=400)
        if body["messages"][0]["content"].startswith("How does fear")
        else None
    )
    with pytest.raises(WorkError) as error:
        generate_all("dfew", template=["paper", "own"], samples=1)
    lines = str(error.value).splitlines()
    assert lines[0] == f"{endpoint.base_url} answers 400: no"
    assert lines[1].startswith("6 of 7 answers are stored")
    assert lines[1].endswith("already written: v2 (paper, tiny)")
    assert versions(workspace) == ["v2"]


def test_all_requests_share_one_budget(workspace: Workspace, endpoint: FakeEndpoint) -> None:
    write_template(workspace, "own", "How does {{ expression }} look?")
    with pytest.raises(WorkError, match=r"after 10 requests(.|\n)*already written: v2"):
        generate_all("dfew", template=["paper", "own"], samples=1, max_requests=10)
    assert len(endpoint.requests) == 10


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"template": ["paper", "papr"]}, "did you mean paper"),
        ({"template": ["paper", "blind"]}, "gives the same prompt for happiness and sadness"),
        ({"template": ["paper", "fine"], "version": "v7"}, "--version v7 names one version"),
        ({"template": ["paper"], "ensemble": True}, "--ensemble requires several"),
        ({"template": ["paper", "paper"], "ensemble": True}, "--ensemble requires several"),
        ({"model": ["tiny", "nope"]}, "does not know the model 'nope'"),
        ({"version": "../x"}, "cannot be named"),
        ({"temperature": 3.0}, "temperature"),
        ({"samples": 0}, "samples"),
        ({"rank": "best"}, "rank"),
        ({"sample": 3}, "sample"),
    ],
)
def test_wrong_input_is_reported_before_any_request(
    workspace: Workspace, endpoint: FakeEndpoint, options: dict[str, Any], says: str
) -> None:
    write_template(workspace, "blind", "What do faces look like?")
    write_template(workspace, "fine", "{{ expression }}?")
    with pytest.raises(InputError) as error:
        generate_all("dfew", **options)
    assert says in str(error.value)
    assert endpoint.requests == []


def test_a_sentence_source_writes_its_own_set(workspace: Workspace, endpoint: FakeEndpoint) -> None:
    made = generate("dfew", source="sentence:a photo of {class}")
    assert made.descriptions.description("anger") == "a photo of anger."
    assert endpoint.paths == []


def test_readings_record_how_a_structured_answer_was_parsed(
    workspace: Workspace, endpoint: FakeEndpoint
) -> None:
    write_template(workspace, "own", "How does {{ expression }} look?", "response_format: json_schema")

    def script(body: dict[str, Any], earlier: int) -> Reply:
        form = body.get("response_format", {}).get("type")
        if form == "json_schema":
            return Reply({"error": {"message": "response_format: json_schema is not known"}}, status=400)
        listed = ["raised brows", "wide eyes"]
        prose = body["seed"] == 2
        return Reply(
            completion("- raised brows\n- wide eyes" if prose else json.dumps({"descriptors": listed}))
        )

    endpoint.script = script
    notes: list[str] = []
    made = generate("dfew", template="own", samples=2, top_k=2, note=notes.append)
    assert made.descriptions.manifest.readings == {"json_object": 7, "text": 7}
    assert [note for note in notes if "rejects" in note] == notes[1:]
    assert len(notes) == 2
    assert {row["form"] for row in made.responses} == {"json_object"}
    assert [row["reading"] for row in made.responses] == ["json_object", "text"] * 7
    stored = json.loads(next(workspace.responses.glob("*.json")).read_text())
    assert stored["request"]["response_format"]["type"] == "json_schema"  # what was asked for shapes the key
    endpoint.requests.clear()
    assert generate("dfew", template="own", samples=2, top_k=2).asked == 0


# ---------------------------------------------------------------- what it would ask and cost


def expected(workspace: Workspace, **options: Any) -> DryRun:
    (run,) = dry_run("dfew", samples=2, workspace=Workspace(workspace.root), **options)
    return run


def test_a_dry_run_counts_requests_tokens_and_dollars(workspace: Workspace, endpoint: FakeEndpoint) -> None:
    write_template(workspace, "own", "{{ expression }} " + "x" * 30)
    (workspace.root / "dfer.yaml").write_text(PRICES)
    first = expected(workspace, template="own", max_tokens=100)
    assert (first.requests, first.answered, first.to_ask) == (14, 0, 14)
    # "happiness xxx..." is 9 + 31 characters, 10 tokens at 4 each; sadness, neutral and disgust 38 (10),
    # surprise 39 (10), anger 36 (9), fear 35 (9): 68 tokens, each asked twice.
    assert first.prompt_tokens == 2 * 68
    assert first.most_completion_tokens == 1400
    assert first.most_cost == pytest.approx((136 * 0.5 + 1400 * 2.0) / 1e6)
    assert (first.likely_completion_tokens, first.likely_cost) == (None, None)
    assert endpoint.requests == []

    generate("dfew", template="own", samples=1, max_tokens=100)
    second = expected(workspace, template="own", max_tokens=100)
    assert (second.answered, second.to_ask) == (7, 7)
    assert second.prompt_tokens == 7 * 40  # as this server counted each of the same prompts
    assert "server's counts" in second.estimated_by
    assert second.likely_completion_tokens == 7 * 20
    assert second.likely_cost == pytest.approx((280 * 0.5 + 140 * 2.0) / 1e6)


def test_a_dry_run_without_an_endpoint_shows_the_prompts(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL")
    notes: list[str] = []
    run = expected(workspace, note=notes.append)
    assert run.answered is None
    assert "happiness" in run.prompts["happiness"][0]["content"]
    assert "no language model: set" in notes[0]
    assert json.loads(json.dumps(asdict(run)))["most_cost"] is None


def test_the_log_of_a_control_of_some_classes_finds_its_parent(
    workspace: Workspace,
) -> None:
    made = generate("dfew", source="control:swapped", of="v1@2", version="noise", workspace=workspace)
    assert made.descriptions.manifest.parent_sha256 == {"v1@2": load("v1@2").sha256}
    (parent,) = log(DescriptionStore(workspace), "noise")[0].parents
    assert (parent.ref, parent.problem) == ("v1@2", None)
