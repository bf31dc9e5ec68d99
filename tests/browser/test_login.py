"""Who may enter, and how it ends: a server that asks for a password, and is stopped by Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..web.calls import ask
from ..web.server import Server, serving
from .page import WAIT

playwright = pytest.importorskip("playwright.sync_api", reason="see make browser-test")
pytestmark = pytest.mark.browser


def test_without_a_password_only_the_login_page_is_shown(browser: Any, tmp_path: Path) -> None:
    accounts = tmp_path / "accounts"
    accounts.write_text("ada:an open sesame: twice\n")
    (tmp_path / "workspace").mkdir()
    with serving(tmp_path / "workspace", "--auth", str(accounts)) as server:
        _is_closed(server)
        page = browser.new_page()
        page.set_default_timeout(WAIT)
        page.goto(server.url)
        for password in ("wrong", "an open sesame: twice"):
            assert page.locator(".class").count() == 0
            page.get_by_label("username").fill("ada")
            page.get_by_label("password").fill(password)
            with page.expect_response("**/login"):
                page.get_by_role("button", name="Login").click()
        page.locator(".class").first.wait_for()
        assert page.get_by_text("happiness").count()
        # Nothing was made in this workspace yet.
        page.get_by_role("tab", name="Comparisons", exact=True).click()
        playwright.expect(page.get_by_text("Create one: dfer-prompts")).to_be_visible()
        page.get_by_role("tab", name="Predict", exact=True).click()  # it offers the shipped sets
        playwright.expect(page.get_by_label("Run or description set").first).to_be_visible()
        code, printed = server.stop()
        page.close()
    assert code == 130
    assert printed.splitlines()[-1].startswith("Stopped: uploads are deleted")
    assert "Traceback" not in printed
    assert "sesame" not in printed
    assert list(server.files.parent.glob("*")) == []


def _is_closed(server: Server) -> None:
    assert str(server.workspace).encode() not in ask(server, "/")[2]
    for path in ("/config", "/gradio_api/queue/data?session_hash=x"):
        assert ask(server, path)[0] == 401
    assert ask(server, "/gradio_api/upload", "POST", b"x")[0] == 401
    assert ask(server, "/gradio_api/queue/join", "POST", b"{}", content_type="application/json")[0] == 401
    (files,) = server.files.glob("dfer-prompts-*")
    (files / "other.mp4").touch()
    assert ask(server, f"/gradio_api/file={files / 'other.mp4'}")[0] == 401
