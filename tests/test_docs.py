"""The site's pages: their command blocks run unchanged, and the site loads nothing from other servers.

Slow tests are marked `docs` and run by `make docs-test`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from dfer_prompts.defaults import read_defaults

from .official_layouts import write_dfew, write_dfew_lists, write_mafw
from .prompts.forks import Forks, forks
from .test_readme import QUICK, ROOT, blocks, run

DOCS = ROOT / "docs"
# Their ```bash blocks run in order in a folder with MAFW and DFEW as distributed. Commands that cannot run
# there (weights of CLIPs, a cluster) are in indented blocks.
PAGES = ("tutorial", "own-classes", "own-clips", "own-endpoint", "tracking")
LOADING = {"src", "srcset", "data", "poster"}


@pytest.fixture(scope="module")
def processes() -> Iterator[Forks]:
    with forks(modules=("dfer_model.training.loop",)) as started:
        yield started


def titled(page: Path) -> dict[str, str]:
    """The files that a page shows: fences with title="NAME"."""
    text = page.read_text(encoding="utf-8")
    return dict(re.findall(r'^```\w+ title="(.+?)"\n(.*?)^```', text, re.DOTALL | re.MULTILINE))


@pytest.mark.docs
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run_in_order(processes: Forks, tmp_path: Path, page: str) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    write_mafw(workspace / "MAFW")
    if page == "own-clips":
        write_dfew(workspace / "DFEW")
        lists = workspace / "annotation", workspace / "MAE-DFER" / "saved" / "data" / "dfew" / "org"
        write_dfew_lists(workspace / "DFEW", *lists)
    (workspace / "dfer.yaml").write_text(QUICK)
    for name, text in titled(DOCS / f"{page}.md").items():
        (workspace / name).write_text(text, encoding="utf-8")
    commands = blocks("bash", DOCS / f"{page}.md")
    assert commands
    run(processes, commands, workspace)


def test_the_page_of_dfer_yaml_has_every_key(tmp_path: Path) -> None:
    (text,) = titled(DOCS / "reference" / "dfer-yaml.md").values()
    (tmp_path / "dfer.yaml").write_text(text)
    shown = read_defaults(tmp_path / "dfer.yaml")
    assert shown.model_fields_set == set(type(shown).model_fields)


def test_the_citation_names_the_paper_and_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = cited["preferred-citation"]
    assert [each["family-names"] for each in paper["authors"]] == ["Zhao", "Patras"]
    assert paper["identifiers"][0]["value"] == "arXiv:2308.13382"
    assert f'version = "{cited["version"]}"\n' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


class Loaded(HTMLParser):
    """Collects the addresses that a browser loads automatically for a page; links are not among them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.found += [value for name, value in attributes if name in LOADING and value]
        if tag == "link" and given.get("rel") != "canonical":
            self.found.append(given.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    pytest.importorskip("material", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {
        **os.environ,
        "DISABLE_MKDOCS_2_WARNING": "true",
        "PYTHONPATH": str(ROOT),
        "https_proxy": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.docs
def test_the_site_loads_nothing_from_other_servers(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) >= 30
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text(encoding="utf-8"))
        assert [each for each in loaded.found if re.match(r"(https?:)?//", each)] == [], page
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", styles) == []


@pytest.mark.docs
def test_the_reference_has_every_command_and_public_name(site: Path) -> None:
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for heading in ("descriptions diff", "data prepare", "import-checkpoint", "doctor"):
        assert f">{heading}<" in commands
    names = (site / "reference" / "python.html").read_text(encoding="utf-8")
    for name in ("generate", "load", "train", "compare", "DescriptionSet", "Workspace"):
        assert re.search(rf'id="dfer_prompts\.[\w.]*\b{name}"', names), name
    assert "lr_image" in (site / "reference" / "settings.html").read_text(encoding="utf-8")
