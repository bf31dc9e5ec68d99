"""`dfer-prompts doctor`: what it finds, says to do, and ends with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dfer_model.machine import Finding, library_findings, shared_memory_findings, unfit
from dfer_model.video.detect import NAME, cache_folder
from dfer_prompts.api import doctor

from ..model import tiny
from ..prompts.endpoint import FakeEndpoint, endless, serve
from .test_train import Terminal

KEY = "sk-a-key-that-must-not-be-shown"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def found(run: Terminal, status: int = 0) -> dict[str, dict[str, Any]]:
    out, _ = run("doctor", "--json", status=status)
    printed = json.loads(out)
    assert printed["works"] is (status == 0)
    return {each["subject"]: each for each in printed["findings"]}


def test_an_empty_workspace_works_and_missing_parts_have_advice(run: Terminal, isolated: Path) -> None:
    out, err = run("doctor")
    lines = {
        line.split()[1]: line for line in out.splitlines() if line.startswith(("ok", "missing", "wrong"))
    }
    assert lines["torch"].split()[0] == "ok"
    assert lines["workspace"].endswith(str(isolated))
    after = out[out.index(lines["language"]) :].splitlines()
    assert after[0].startswith("missing")
    assert "OPENAI_API_KEY" in after[1]
    assert "--source facs" in after[1]
    assert err == ""
    assert list(isolated.iterdir()) == []  # to look leaves nothing behind


def test_every_problem_has_advice(run: Terminal) -> None:
    findings = found(run)
    assert {"Python", "torch", "torchvision", "cores", "bfloat16", "video", "CLIP weights"} <= {*findings}
    assert [name for name, each in findings.items() if each["state"] != "ok" and not each["advice"]] == []
    assert findings["cores"]["says"] == str(len(os.sched_getaffinity(0)))


def asked(endpoint: FakeEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def test_a_server_that_answers_is_named_with_its_models_and_without_the_key(
    run: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve() as endpoint:
        endpoint.models = ["small:1b", "large:70b"]
        asked(endpoint, monkeypatch)
        out, _ = run("doctor")
        assert endpoint.authorizations == [f"Bearer {KEY}"]
        assert endpoint.requests == []  # nothing is paid for
    assert f"{endpoint.base_url} answers with a key; it has large:70b, small:1b" in out
    assert KEY not in out


def test_a_model_that_the_server_does_not_have(run: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("dfer.yaml").write_text("model: smal:1b\n")
    with serve() as endpoint:
        endpoint.models = ["large:70b", "small:1b"]
        asked(endpoint, monkeypatch)
        finding = found(run)["language model"]
    assert finding["state"] == "wrong"
    assert "does not know the model 'smal:1b'" in finding["says"]
    assert finding["advice"] == "Available: small:1b, large:70b"


def test_a_server_that_is_not_there(run: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as endpoint:
        asked(endpoint, monkeypatch)
    finding = found(run)["language model"]
    assert finding["state"] == "wrong"
    assert finding["says"] == f"no server at {endpoint.base_url} (Connection refused)"
    assert not finding["needed"]  # training needs no language model


def test_a_server_that_never_ends_its_answer_is_not_waited_for(
    run: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "ANSWER_S", 0.3)
    with serve() as endpoint:
        endpoint.models_reply = endless(pause=0.05)
        asked(endpoint, monkeypatch)
        finding = found(run)["language model"]
    assert (finding["state"], finding["says"]) == ("wrong", f"{endpoint.base_url} did not answer in time")


def test_a_key_that_is_refused_is_not_repeated(run: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as endpoint:
        endpoint.api_key = "another"
        asked(endpoint, monkeypatch)
        out, _ = run("doctor")
    assert f"wrong    language model   {endpoint.base_url} rejects the key in OPENAI_API_KEY" in out
    assert KEY not in out


def test_datasets_of_dfer_yaml_are_opened(run: Terminal, isolated: Path) -> None:
    tiny.pack(isolated / "packed")
    (isolated / "half").mkdir()
    Path("dfer.yaml").write_text(
        "datasets: {mine: packed, half: half, gone: gone, far: 'hf://datasets/a/b'}\n"
    )
    findings = found(run)
    assert findings["dfer.yaml"]["says"] == "sets datasets"
    assert findings["dataset mine"]["state"] == "ok"
    assert "12 clips of 3 classes" in findings["dataset mine"]["says"]
    assert findings["dataset half"]["state"] == "wrong"
    assert "which is not a folder" in findings["dataset gone"]["says"]
    assert "data prepare" in findings["dataset gone"]["advice"]
    assert findings["dataset far"]["says"] == "hf://datasets/a/b, which was not accessed"


def test_without_yunet_haar_is_used_and_the_problem_is_reported(run: Terminal, isolated: Path) -> None:
    finding = found(run)["faces"]
    assert (finding["state"], finding["needed"]) == ("missing", False)
    assert "--faces auto uses Haar" in finding["says"]
    assert "--faces yunet downloads it once" in finding["advice"]
    (cache_folder() / NAME).write_text("not a model")
    finding = found(run)["faces"]
    assert finding["state"] == "wrong"
    assert finding["says"].startswith(f"{cache_folder() / NAME} is not a YuNet model")
    assert finding["advice"].startswith("Remove the file. ")
    Path("dfer.yaml").write_text("face_model: gone.onnx\n")
    finding = found(run)["faces"]
    assert (finding["state"], finding["says"]) == (
        "wrong",
        f"face model {isolated / 'gone.onnx'} does not exist",
    )
    assert finding["advice"].startswith("Correct face_model in dfer.yaml")


def test_the_file_of_yunet_that_auto_takes_is_named(run: Terminal, isolated: Path, test_data: Path) -> None:
    fetched, own = cache_folder() / NAME, isolated / "own.onnx"
    shutil.copy(test_data / "models" / "yunet.onnx", fetched)
    finding = found(run)["faces"]
    assert finding["says"] == f"--faces auto uses YuNet: {fetched}, downloaded before"
    assert (finding["state"], finding["advice"]) == ("ok", "")
    fetched.rename(own)
    Path("dfer.yaml").write_text("face_model: own.onnx\n")
    assert found(run)["faces"]["says"] == f"--faces auto uses YuNet: {own}, set in dfer.yaml"


def test_a_broken_dfer_yaml_is_a_finding(run: Terminal) -> None:
    Path("dfer.yaml").write_text("modle: llama3\n")
    findings = found(run, status=1)
    assert "unknown key 'modle'" in findings["dfer.yaml"]["says"]
    _, err = run("doctor", status=1)
    assert err.startswith("Error: does not work: dfer.yaml\n")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that even root cannot write to")
def test_a_workspace_that_cannot_be_written_to(run: Terminal) -> None:
    out, err = run("--workspace", "/proc/self", "doctor", status=1)
    assert "cannot be written to" in out
    assert "--workspace DIR" in out
    assert "does not work: workspace" in err


def in_a_process(site: Path, status: int, **environment: str) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What doctor finds with the packages in `site` before all others, and the modules it imported."""
    path = os.pathsep.join([str(site), str(Path(__file__).parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    findings = {each["subject"]: each for each in json.loads(done.stdout)["findings"]}
    return findings, done.stderr.splitlines()[-1].split()


PROGRAM = """
import sys
from dfer_prompts.cli import main
sys.argv = ["dfer-prompts", "doctor", "--json"]
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


def test_shared_memory_that_is_too_small_for_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training with default settings takes 48 clips x 16 frames x 3 x 224 x 224 bytes a batch: 0.1 GiB."""

    def found(free: int) -> Finding:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
        (finding,) = shared_memory_findings(tmp_path)
        return finding

    docker = found(64 * 2**20)
    assert (docker.state, docker.broken) == ("wrong", False)
    assert docker.says == f"{tmp_path} has 0.06 GiB free, and a batch takes 0.1 GiB"
    assert "--shm-size=8g" in docker.advice
    assert (found(64 * 2**30).state, found(64 * 2**30).says) == ("ok", f"64.0 GiB free in {tmp_path}")
    assert list(shared_memory_findings(tmp_path / "none")) == []


def test_slow_libraries_are_not_imported(isolated: Path) -> None:
    """The pretrained tag of a CLIP is found in the cache all the same, and torchvision is tried."""
    hub = isolated / "hub"
    for name in ("vit_base_patch32_clip_224.openai", "vit_base_patch16_clip_224.openai"):
        folder = hub / f"models--timm--{name}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs/main").write_text("abc")
        (folder / "snapshots/abc").mkdir(parents=True)
        (folder / "snapshots/abc/open_clip_model.safetensors").touch()
    findings, modules = in_a_process(isolated, 0, HF_HUB_CACHE=str(hub))
    assert not {"torchvision", "open_clip", "timm", "transformers", "openai", "datasets"} & {*modules}
    assert "torch" in modules
    assert findings["torchvision"]["state"] == "ok"
    assert findings["CLIP weights"]["says"].startswith(f"ViT-B-32-quickgelu openai: {hub}")
    assert "ViT-B-16 openai" in findings["other CLIPs"]["says"]


def test_compiled_operators_that_torch_cannot_load_are_named(isolated: Path) -> None:
    (isolated / "site/torchvision").mkdir(parents=True)
    (isolated / "site/torchvision/__init__.py").touch()
    (isolated / "site/torchvision/_C.so").write_bytes(b"no library")
    findings, _ = in_a_process(isolated / "site", 1)
    assert findings["torchvision"]["state"] == "wrong"
    assert "cannot be imported" in findings["torchvision"]["says"]
    assert "_C.so" in findings["torchvision"]["says"]
    assert findings["open_clip_torch"]["state"] == "ok"


def test_a_broken_library_is_named_and_others_are_checked(isolated: Path) -> None:
    (isolated / "site" / "torch").mkdir(parents=True)
    (isolated / "site" / "torch" / "__init__.py").write_text("raise OSError('libcudart.so.99: not found')\n")
    findings, _ = in_a_process(isolated / "site", 1)
    assert findings["torch"]["state"] == "wrong"
    assert "libcudart.so.99" in findings["torch"]["says"]
    assert findings["video"]["state"] == "ok"
    assert findings["workspace"]["state"] == "ok"


def test_versions_that_do_not_fit_each_other() -> None:
    expected = {
        "torchvision": ["numpy", "torch (>=99)", "scipy>=999; extra == 'scipy'"],
        "dfer-prompts": ["torch>=99", "no-such-library>=2", "ruff>=999; extra == 'dev'"],
    }
    findings = {each.subject: each for each in library_findings(lambda name: expected.get(name, []))}
    assert findings["torch"].state == "ok"
    assert findings["torchvision"].state == "wrong"
    assert "requires torch>=99 but 2" in findings["torchvision"].says
    assert findings["torchvision"].advice == "pip install 'torch>=99'"
    assert findings["no-such-library"].says == "no-such-library>=2 but none is installed"
    assert "libraries" not in findings
    (problem,) = unfit("dfer-prompts", lambda name: expected[name], extra="dev")
    assert problem.startswith("ruff>=999 but ")
