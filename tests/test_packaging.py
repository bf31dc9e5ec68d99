"""What is shipped is found from a checkout and from an installed wheel in an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from dfer_prompts.workspace import SHIPPED_TEMPLATES

CHECKOUT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder a freshly built wheel is installed into."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(CHECKOUT)]
    subprocess.run(build, check=True, capture_output=True, text=True)
    (wheel,) = folder.glob("*.whl")
    target = folder / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    return target


def dfer_prompts(*arguments: str, packages: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line that lies in `packages`, in `folder`."""
    command = [sys.executable, "-m", "dfer_prompts", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("where", ["checkout", "wheel"])
def test_shipped_versions_and_prompts_are_found(
    where: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    packages = CHECKOUT if where == "checkout" else request.getfixturevalue("installed_wheel")
    where_from = subprocess.run(
        [sys.executable, "-c", "import dfer_prompts; print(dfer_prompts.__file__)"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where_from.stdout.strip()).is_relative_to(packages)
    shown = dfer_prompts("descriptions", "show", "v1", "--json", packages=packages, folder=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "furrowed eyebrows" in json.dumps(json.loads(shown.stdout))
    rendered = dfer_prompts(
        "prompts", "render", "paper", "--class", "anger", packages=packages, folder=tmp_path
    )
    assert "visual features for the facial expression of anger?" in rendered.stdout
    assert list(tmp_path.iterdir()) == []


def test_wheel_holds_every_shipped_template_and_no_other(installed_wheel: Path) -> None:
    folder = installed_wheel / "dfer_prompts" / "shipped" / "prompts"
    assert {path.stem for path in folder.iterdir()} == set(SHIPPED_TEMPLATES)
    for path in folder.iterdir():
        assert path.read_bytes() == (CHECKOUT / "prompts" / path.name).read_bytes()


def test_wheel_holds_every_file_of_the_packages(installed_wheel: Path) -> None:
    """Templates, style, word lists, class sets, weights: what is read at run time, wherever it was added."""
    ours = {
        path.relative_to(CHECKOUT)
        for package in ("dfer_prompts", "dfer_model")
        for path in (CHECKOUT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path.suffix for path in ours} >= {".py", ".j2", ".css", ".yaml", ".txt", ".safetensors"}
    lacking = [str(path) for path in sorted(ours) if not (installed_wheel / path).is_file()]
    assert lacking == []
    page = Path("dfer_prompts/api/report/templates/page.html.j2")
    assert (installed_wheel / page).read_bytes() == (CHECKOUT / page).read_bytes()


def test_wheel_holds_what_the_demo_needs(installed_wheel: Path) -> None:
    (wheel,) = installed_wheel.parent.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "dfer_prompts/shipped/descriptions/v1/descriptors.jsonl" in names
    for model in ("demo_clip", "demo_lm"):
        assert f"dfer_model/synthetic/{model}/model.safetensors" in names
    assert [name for name in names if name.startswith(("tests/", "benchmarks/"))] == []
