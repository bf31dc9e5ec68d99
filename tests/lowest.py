"""Import every module and run some commands with the versions that are installed: `make lowest-test`.

It needs no pytest: only the package's own dependencies are installed at their lower bounds.
"""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import tempfile
from pathlib import Path

OPTIONAL = (
    "onnx",
    "onnxruntime",
    "onnxscript",
    "gradio",
    "fastapi",
    "uvicorn",
    "peft",
    "tensorboard",
    "wandb",
)
DRAWN = ["--dataset", "faces", "--preset", "demo", "--epochs", "1", "--set", "workers=0", "--device", "cpu"]
COMMANDS = (
    ["--help"],
    ["classes", "list", "--json"],
    ["generate", "--classes", "mafw", "--source", "facs", "--version", "facs"],
    ["descriptions", "diff", "v1", "facs"],
    ["data", "draw", "--clips", "55", "--out", "faces"],
    ["train", "--descriptions", "v1@2", *DRAWN],
    ["compare", "v1@1", "v1@2", "--screen", "--folds", "1", "--seeds", "1", *DRAWN],
    ["report"],
)


def unimportable() -> list[str]:
    """The modules that cannot be imported, each with its error; a missing optional package is none."""
    found = []
    for package in ("dfer_model", "dfer_prompts"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if module.name.endswith("__main__"):
                continue
            try:
                importlib.import_module(module.name)
            except ImportError as error:
                if error.name is None or error.name.split(".")[0] not in OPTIONAL:
                    found.append(f"{module.name}: {error}")
            except Exception as error:  # noqa: BLE001 - a module that fails in any way is reported
                found.append(f"{module.name}: {type(error).__name__}: {error}")
    return found


def main() -> int:
    """Print what fails; the number of failures is the exit status."""
    failures = unimportable()
    with tempfile.TemporaryDirectory() as folder:
        for words in COMMANDS:
            command = [str(Path(sys.executable).with_name("dfer-prompts")), *words]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                failures.append(f"dfer-prompts {' '.join(words)}: {done.stderr[-2000:]}")
    sys.stdout.write("\n".join([*failures, f"{len(failures)} failed"]) + "\n")
    return min(len(failures), 100)


if __name__ == "__main__":
    sys.exit(main())
