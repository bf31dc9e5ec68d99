"""Tables 2 and 3 on drawn faces: run `python benchmarks/reproduction.py [--out FOLDER] [--write]`.

Runs `dfer-prompts reproduce table2 table3` with the demo CLIP, which was never trained on a class name, on
220 drawn clips with the `demo` preset, few epochs, two test folds and two seeds. Prints the tables of
docs/reproduction.md, of which the second checks the paper's claims, and the duration; `--write` updates
the page. A second call reuses the runs in the folder. Fails (exit 1) if the training took 20 minutes or
more on two cores.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path
from statistics import fmean

from dfer_model.data.packed import PackedClips
from dfer_model.runs import Run
from dfer_model.synthetic.drawn_faces import draw_dataset
from dfer_prompts import Workspace, reproduce
from dfer_prompts.api.reproduce import Reproduced
from dfer_prompts.cli.output import progress

PAGE = Path(__file__).parent.parent / "docs" / "reproduction.md"
BETWEEN = re.compile(r"(?<=<!-- drawn: begin -->\n).*?(?=<!-- drawn: end -->)", re.DOTALL)
CLIPS, SEED = 220, 11  # those of `dfer-prompts demo`
FOLDS, SEEDS, EPOCHS = (1, 2), (1, 2), 3
LIMIT_S = 20 * 60
# Of two rows, "3.8" being row 8 of Table 3, the first should be the better one.
CLAIMS = (
    ("a temporal model helps DFER-CLIP", "3.8", "3.7"),
    ("a temporal model helps a fine-tuned linear head", "2.3", "2.2"),
    ("learnable contexts beat a fixed sentence, without temporal model", "3.5", "3.3"),
    ("learnable contexts beat a fixed sentence, with temporal model", "3.6", "3.4"),
    ("descriptors beat the class name, without temporal model", "3.7", "3.5"),
    ("descriptors beat the class name, with temporal model", "3.8", "3.6"),
    ("DFER-CLIP beats zero-shot CLIP", "2.9", "2.4"),
    ("DFER-CLIP beats CoOp", "2.9", "2.6"),
    ("DFER-CLIP beats Co-CoOp", "2.9", "2.7"),
    ("DFER-CLIP beats a linear probe", "2.9", "2.1"),
    ("DFER-CLIP beats fine-tuning with a temporal model", "2.9", "2.3"),
)


def drawn(folder: Path) -> PackedClips:
    """The clips, drawn once."""
    if (folder / "clips").is_dir():
        return PackedClips.open(folder / "clips")
    with progress("drawing") as report:
        return draw_dataset(folder / "clips", clips=CLIPS, seed=SEED, report=report)


def table(result: Reproduced) -> str:
    """The rows as Markdown, with the folds and seeds that are averaged."""
    lines = [
        f"{CLIPS} clips, `--preset demo --epochs {EPOCHS}`; {result.protocol}.",
        "",
        "| table | row | UAR | WAR |",
        "| --- | --- | --- | --- |",
    ]
    for row in result.rows:
        uar, war = (str(row.ours.uar), str(row.ours.war)) if row.ours else (row.note, "")
        lines.append(f"| {row.table} | {row.name} | {uar} | {war} |")
    return "\n".join(lines) + "\n"


def claims(result: Reproduced, runs: Path) -> str:
    """The difference in UAR for each claim, and the number of trainings in which it holds, as Markdown."""
    uars = {
        f"{row.table.removeprefix('table')}.{row.number}": [
            Run.open(runs / each).result["measures"]["last"]["uar"] for each in row.runs
        ]
        for row in result.rows
        if row.runs
    }
    lines = ["| claim | difference in UAR | in trainings |", "| --- | --- | --- |"]
    for claim, better, worse in CLAIMS:
        # A row in which nothing is drawn has one run a fold, which stands beside each seed's.
        pairs = [
            (first, uars[worse][place * len(uars[worse]) // len(uars[better])])
            for place, first in enumerate(uars[better])
        ]
        won = sum(first > second for first, second in pairs)
        mean = fmean(first - second for first, second in pairs)
        lines.append(f"| {claim} | {mean:+.1f} | {won} of {len(pairs)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Train, print, and update the page if requested."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("reproductions/drawn"), help="folder for clips and runs"
    )
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    workspace, clips = Workspace(given.out.resolve()), drawn(given.out)
    found = {path.parent.name for path in workspace.runs.glob("*/result.json")}
    started = time.monotonic()
    result = reproduce(
        "table2",
        "table3",
        dataset=clips,
        folds=FOLDS,
        seeds=SEEDS,
        preset="demo",
        epochs=EPOCHS,
        workspace=workspace,
        device="cpu",
        progress=progress,
    )
    seconds = time.monotonic() - started
    printed = f"{table(result)}\n{claims(result, workspace.runs)}"
    print(printed)
    runs = {run for row in result.rows for run in row.runs}
    print(f"{len(runs)} runs, of which {len(runs & found)} were reused: {seconds / 60:.1f} minutes")
    if given.write:
        PAGE.write_text(BETWEEN.sub(lambda _: f"\n{printed}\n", PAGE.read_text("utf-8")), "utf-8")
    return 0 if seconds < LIMIT_S else 1


if __name__ == "__main__":
    sys.exit(main())
