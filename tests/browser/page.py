"""A page of the browser on a server of the tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from ..web.server import Server

playwright = pytest.importorskip("playwright.sync_api", reason="see make browser-test")
WAIT = 120_000  # ms, for work of the server on a busy machine


@dataclass
class Page:
    """A page of the browser, and what became of it: addresses asked for, and what went wrong in it."""

    page: Any
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda message: message.type == "error" and self.wrong.append(message.text))

    def tab(self, *names: str) -> None:
        for name in names:
            tab = self.page.get_by_role("tab", name=name, exact=True)
            if not tab.count():  # on a narrow screen Gradio moves the last tabs to a menu
                self.page.get_by_label("More tabs").first.click()
                tab = self.page.locator(".overflow-dropdown").get_by_role("button", name=name, exact=True)
            tab.click()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def choose(self, label: str, option: str | re.Pattern[str]) -> None:
        self.page.get_by_label(label, exact=True).locator("visible=true").click()
        playwright.expect(self.page.get_by_role("listbox")).to_have_count(1)  # the one before fades away
        self.page.get_by_role("option", name=option, exact=True).click()

    def see(self, selector: str) -> Any:
        """The one visible element, once it is there."""
        found = self.page.locator(selector).locator("visible=true").first
        found.wait_for(timeout=WAIT)
        return found

    def outside(self, server: Server) -> list[str]:
        own = (server.url, "data:", f"blob:{server.url}", "about:")
        return [url for url in self.asked if not url.startswith(own)]


@contextmanager
def opened_page(browser: Any, server: Server, width: int, height: int, **options: Any) -> Iterator[Page]:
    """The page, opened; in the end nothing has left the computer, and nothing went wrong."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(WAIT)
    opened = Page(context.new_page())
    opened.page.goto(server.url)
    opened.see(".class")
    yield opened
    assert opened.outside(server) == []
    assert opened.wrong == []
    assert server.called() == set()
    context.close()
