"""The page in a real browser: what a person does on it, and that nothing leaves the computer meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dfer_prompts
from dfer_model.errors import InputError
from dfer_prompts import load
from dfer_prompts.api.run_index import finished_runs
from dfer_prompts.workspace import Workspace

from ..model import tiny
from ..web.server import HOSTILE, Server, fill, serving
from .page import WAIT, Page, opened_page

playwright = pytest.importorskip("playwright.sync_api", reason="see make browser-test")
pytestmark = pytest.mark.browser
SMALL = ["frames=4", "contexts=2", "epochs=1", "batch_size=4", "lr_image=0", "milestones=[1]", "workers=0"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A workspace with a run on the demo CLIP, a comparison and a version of hostile text."""
    folder = fill(tmp_path_factory.mktemp("served") / "workspace")
    clips = tiny.pack(folder / "packed")
    place = Workspace(folder)
    dfer_prompts.train(descriptions="hostile", dataset=clips, clip="demo", overrides=SMALL, workspace=place)
    with serving(folder) as started:
        yield started


@pytest.fixture(params=[(1400, "light"), (400, "dark")], ids=["wide-light", "narrow-dark"])
def page(request: pytest.FixtureRequest, browser: Any, server: Server) -> Iterator[Page]:
    """The page, opened; in the end nothing has left the computer, and nothing went wrong."""
    width, scheme = request.param
    with opened_page(browser, server, width, 900, color_scheme=scheme) as opened:
        yield opened
        assert opened.page.evaluate("window.stolen") is None
        wide = opened.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1]  # nothing is pushed out at the side


def test_a_version_is_read_and_compared_with_another(page: Page) -> None:
    page.choose("Version", "v1")
    page.see(".class:has-text('happiness') li:has-text('arched eyebrows')")
    assert "one side of its mouth raised" in page.see(".class:has-text('contempt')").inner_text()
    page.tab("Difference")
    page.choose("Before", "v1")
    page.choose("After", "hostile")
    page.press("Show difference")
    shown = page.see(".difference")
    assert "a smiling mouth" in shown.locator("del").all_inner_texts()
    assert "fear eyes" in shown.locator("ins").all_inner_texts()


def test_foreign_text_is_shown_as_text(page: Page) -> None:
    page.choose("Version", "hostile")
    page.see(".class li:has-text('stolen')")
    shown = page.page.locator(".class li:first-child").all_inner_texts()
    assert [text.rsplit(" ", 1)[0] for text in shown[: len(HOSTILE)]] == list(HOSTILE)
    page.tab("Heat map")
    page.choose("Version", "hostile")
    page.press("Show heat map")
    assert page.see(".heat").locator("tbody tr").count() == len(load("v1").class_names)
    assert page.page.locator(".piece script, .piece [onerror], .piece a").count() == 0


def test_a_prompt_is_shown_as_it_is_sent(page: Page) -> None:
    page.tab("Prompt")
    page.choose("Class", "contempt")
    prompt = page.see(".prompt:has-text('contempt')").inner_text()
    assert prompt.splitlines() == [
        "Q: What are useful visual features for the facial expression of contempt?",
        "A: Some useful visual features for facial expressions of contempt include: ...",
    ]
    page.choose("Template", "synonyms")
    page.see("dd:has-text('synonyms.md')")
    assert "In how many other words" in page.see(".prompt").inner_text()


def test_an_edited_version_is_saved_and_listed(page: Page, server: Server) -> None:
    page.tab("Edit")
    page.choose("Start from", "v1")
    text = page.page.get_by_label("Descriptors")
    playwright.expect(text).to_have_value(re.compile("a smiling mouth"), timeout=WAIT)
    was = text.input_value()
    text.fill(was.replace("- a smiling mouth", "- a smiling mouth\n- a smiling"))
    page.press("Check")
    assert page.see(".difference ins").inner_text() == "a smiling"
    text.fill(was.replace("happiness:", "joy:"))
    page.press("Check")
    wrong = page.see(".problem")
    assert "no class 'joy'" in wrong.inner_text()
    assert "There are: happiness, sadness" in wrong.inner_text()
    text.fill(was.replace("- a smiling mouth", "- <b>a grin</b>"))
    page.page.get_by_label("Reason, for the log").fill("to see it")
    page.press("Save as new version")
    written = page.see(".said:has-text('Written')").inner_text()
    name = written.rsplit("/", 1)[1].strip()
    assert written.strip() == f"Written to {server.workspace / 'descriptions' / name}"
    saved = load(name, Workspace(server.workspace))
    assert saved.members["happiness"][0][0].text == "<b>a grin</b>"
    assert saved.manifest.parents == ["v1"]
    assert saved.manifest.derivation["message"] == "to see it"
    page.page.wait_for_timeout(1000)
    # The lists have a new name by now, and nothing has moved.
    assert page.see(".said:has-text('Written')").inner_text() == written
    assert "a grin" in text.input_value()
    page.page.get_by_label("Name of the new version").fill(name)
    page.press("Save as new version")
    assert "and cannot be changed" in page.see(".problem").inner_text()
    page.tab("Browse")
    page.choose("Version", name)
    page.see(".class li:has-text('<b>a grin</b>')")


def uploads(server: Server) -> list[Path]:
    (files,) = server.files.glob("dfer-prompts-*")
    return [each for each in files.rglob("*") if each.suffix in (".mp4", ".webm", ".mkv")]


def test_a_dropped_video_is_predicted_and_deleted(page: Page, server: Server, test_data: Path) -> None:
    page.tab("Predict")
    page.choose("Run or description set", re.compile("hostile-fold1"))
    page.page.locator("input[type=file]").set_input_files(test_data / "faces" / "single_face.mp4")
    page.see("video")
    assert uploads(server)
    page.press("Predict")
    answer = page.see(".answer").inner_text()
    bars = page.page.locator(".bar").all_inner_texts()
    shares = {text.split()[0]: float(text.split()[-1]) for text in bars}
    assert set(shares) == set(tiny.CLASSES)
    assert sum(shares.values()) == pytest.approx(100, abs=0.2)
    assert answer.split()[0] == max(shares, key=lambda name: shares[name])
    for picture in page.page.locator(".faces img, .paper").all():
        assert picture.evaluate("each => each.decode().then(() => each.naturalWidth)") > 30
    page.see("#evidence .paper")
    assert page.page.locator("#evidence li").count() == 6
    speaking = "".join(page.page.locator("#evidence li").all_inner_texts())
    assert all(text in speaking for text in HOSTILE[:2])
    assert page.page.locator(".piece script, .piece [onerror], .piece a").count() == 0
    playwright.expect(page.page.get_by_text("Drop Video Here")).to_be_visible(timeout=WAIT)
    assert uploads(server) == []


def test_a_recorded_video_is_predicted_and_deleted(page: Page, server: Server) -> None:
    page.tab("Predict")
    page.choose("Run or description set", re.compile("hostile-fold1"))
    page.press("Capture from camera")
    page.press("Click to Access Webcam")
    page.page.get_by_text("Record", exact=True).click()
    page.page.wait_for_timeout(5000)  # on a busy machine the first frames come late
    with page.page.expect_response(re.compile("/gradio_api/upload")):
        page.page.get_by_text("Stop", exact=True).click()
    playwright.expect(page.page.get_by_label("start recording")).to_have_count(0, timeout=WAIT)
    page.see("video[src]")
    page.press("Predict")
    assert "no face was found" in page.see("#answer .note:has-text('face')").inner_text()
    assert uploads(server) == []


def test_an_unreadable_video_has_the_message_of_the_command_line(
    page: Page, server: Server, tmp_path: Path
) -> None:
    bad = tmp_path / "cut.mp4"
    bad.write_bytes(b"\0\0\0\x18ftypmp42" + b"\0" * 400)
    page.tab("Predict")
    page.page.locator("input[type=file]").set_input_files(bad)
    page.see("video")
    page.press("Predict")
    problem = page.see("#answer .problem").inner_text()
    (run,) = (each.id for each in finished_runs(Workspace(server.workspace)) if each.what == "hostile")
    with pytest.raises(InputError) as raised:
        dfer_prompts.predict(run, [bad], faces="auto", workspace=Workspace(server.workspace))
    assert problem.split() == str(raised.value).replace(str(bad), "cut.mp4").split()
    assert uploads(server) == []


def test_a_report_is_shown_and_saved(page: Page) -> None:
    page.tab("Comparisons")
    page.see("th:has-text('0123456789ab')")
    page.choose("Comparison or run", "0123456789ab")
    page.press("Show report")
    page.see("iframe.report")
    frame = page.page.frame_locator("iframe.report")
    playwright.expect(frame.get_by_role("heading", name="Verdict")).to_be_visible(timeout=WAIT)
    frame.get_by_role("link", name="Paired differences").click()
    assert [each.url for each in page.page.frames][1].startswith("about:srcdoc#")
    with page.page.expect_download() as downloaded:
        page.press("Download LaTeX")
    assert r"\toprule" in downloaded.value.path().read_text()
    assert downloaded.value.suggested_filename == "0123456789ab.tex"
