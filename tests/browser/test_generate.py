"""Generate, Optimize and Predict in a real browser: from a click to the new version and a prediction."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dfer_prompts import Workspace, load

from ..prompts.endpoint import FEATURES, FakeEndpoint, serve
from ..web.server import Server, fill, serving
from ..web.test_generate_and_optimize import LOG
from .page import WAIT, Page, opened_page
from .test_page import uploads

playwright = pytest.importorskip("playwright.sync_api", reason="see make browser-test")
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FakeEndpoint]:
    with serve() as started:
        yield started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, endpoint: FakeEndpoint) -> Iterator[Server]:
    folder = fill(tmp_path_factory.mktemp("served") / "workspace")
    (folder / "dfer.yaml").write_text(f"base_url: {endpoint.base_url}\nmodel: tiny\n")
    (folder / "optimizations").mkdir()
    lines = "".join(json.dumps(each) + "\n" for each in LOG)
    (folder / "optimizations" / "better.jsonl").write_text(lines)
    with serving(folder) as started:
        yield started


@pytest.fixture
def page(browser: Any, server: Server) -> Iterator[Page]:
    with opened_page(browser, server, 1300, 1000) as opened:
        yield opened


def test_a_version_is_generated_and_is_in_the_descriptions(page: Page, server: Server) -> None:
    page.tab("Generate")
    page.choose("Class set", "dfew")
    page.press("Dry run")
    assert "35 requests (7 classes x 5)" in page.see("#generated .said").inner_text()
    assert page.page.locator("#generated .prompt").count() == 7
    page.page.get_by_label("Name of the version").fill("fresh")
    page.page.get_by_label("Descriptors per class").fill("2")
    page.press("Generate")
    said = page.see("#generated .said:has-text('Written to')").inner_text()
    assert "Requested 35, found stored 0, failed 0" in said
    made = load("fresh", Workspace(server.workspace))
    assert {each.text for each in made.members["anger"][0]} <= set(FEATURES)
    page.tab("Descriptions", "Browse")
    page.choose("Version", "fresh")
    page.see(".facts:has-text('tiny')")


def test_an_optimisation_is_shown_with_its_score_over_rounds(page: Page) -> None:
    page.tab("Optimize")
    page.see("th:has-text('better')")
    page.press("Show optimisation")
    frame = page.page.frame_locator("iframe.report")
    for name in ("Score over rounds", "Accepted edits", "Refused edits"):
        playwright.expect(frame.get_by_role("heading", name=name)).to_be_visible(timeout=WAIT)
    assert frame.locator("svg").count() == 2


def test_an_example_clip_is_predicted(page: Page, server: Server) -> None:
    page.tab("Predict")
    page.choose("Run or description set", "v1 (demo CLIP, drawn faces)")
    page.press("Example: surprise")
    video = page.see("video")
    playwright.expect(video).to_have_js_property("readyState", 4, timeout=WAIT)
    page.press("Predict")
    assert page.see("#answer .answer").inner_text().startswith("surprise")
    page.see("#evidence .paper")
    assert len(uploads(server)) == 1  # the example, for the next visitor
