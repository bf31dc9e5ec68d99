"""The README's picture of a report: its page in a browser, beginning and figures side by side.

Needs Chromium (Debian: `apt-get install chromium`), which renders a local file and accesses nothing else.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from dfer_prompts import Workspace, report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LEFT_OUT = ("", "<style>header, #verdict { display: none }</style>")  # of each leaf, what stands above it
WIDE, TALL, GAP = 860, 1160, 40  # pixels of a leaf, and between the two
SHOWN = 1200  # pixels of both together
OPTIONS = (
    "--headless",
    "--no-sandbox",  # the page is our own, and Chromium needs it as root
    "--disable-gpu",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


def browser() -> str | None:
    """The first Chromium that is installed."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def two_leaves(demo: Path, comparison: str, chromium: str) -> Image.Image:
    """The report of a comparison in the demo's folder, as `dfer-prompts report` makes it."""
    leaves = Image.new("RGB", (2 * WIDE + GAP, TALL), "#d5dade")
    with TemporaryDirectory() as folder:
        page, picture = Path(folder) / "report.html", Path(folder) / "leaf.png"
        report(comparison, out=page, workspace=Workspace(demo))
        whole = page.read_text(encoding="utf-8")
        for place, left_out in enumerate(LEFT_OUT):
            page.write_text(whole.replace("</head>", f"{left_out}</head>"), encoding="utf-8")
            size = f"--window-size={WIDE},{TALL}"
            command = [chromium, *OPTIONS, size, f"--user-data-dir={folder}/user", f"--screenshot={picture}"]
            subprocess.run([*command, page.as_uri()], check=True, capture_output=True, timeout=120)
            leaves.paste(Image.open(picture).convert("RGB"), (place * (WIDE + GAP), 0))
    return leaves.resize((SHOWN, round(TALL * SHOWN / leaves.width)), Image.Resampling.LANCZOS)
