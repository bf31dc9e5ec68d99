"""What `optimize` gains on drawn faces with the demo CLIP, and how many sets it scores per second.

    python benchmarks/optimization.py [--seeds 10] [--minutes 5] [--speed]

The first set is v1@4 with two of the four descriptors of four classes replaced by those of other classes,
drawn by the seed. Scripted models answer on loopback, through the same client as any other server:

- helpful: each edit replaces a descriptor of one of the four classes with the lowest recall by one of that
  class's own descriptors of v1, with probability 0.6, else by another class's;
- empty: the new descriptors name nothing in a face ("a wooden table"). From the damaged set, such an edit can
  be a real gain, because it removes a wrong descriptor; so this model also begins from v1@4 itself.

`optimize` runs with folds 2 to 5 and its controls; fold 1 is the test fold. `quarter` is the helpful model
with two rounds of eight. The speed is that of `CandidateSets.scores` at MAFW's size (9,000 clips, 11 classes,
random features), per second of CPU time on one core. With `--minutes` no further seed is begun after that
time; the figures name the number of seeds.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from results import record

from dfer_model.comparison.candidate_sets import CandidateSets
from dfer_model.comparison.zero_shot import Videos
from dfer_model.data.packed import PackedClips
from dfer_model.synthetic.drawn_faces import draw_dataset
from dfer_prompts import DescriptionSet, Descriptor, Workspace, load, optimize

CLIPS, DRAWN = 550, 4  # drawn clips, and the seed of their drawing
WORST, RIGHT = 4, 0.6
NOTHING = [
    f"a {colour} {thing}"
    for colour in ("wooden", "plastic", "painted", "broken", "heavy", "polished")
    for thing in ("table", "bicycle", "bridge", "carpet", "kettle", "ladder", "garden fence", "bookshelf")
]
Answer = Callable[[str, int], str]  # prompt, seed of the request -> the answer


def damaged(seed: int) -> DescriptionSet:
    """v1 with two descriptors of four classes replaced by those of other classes."""
    draw = random.Random(seed)
    v1 = load("v1")
    texts = {name: [each.text for each in v1.members[name][0]] for name in v1.class_names}
    made = {name: list(own) for name, own in texts.items()}
    for name in draw.sample(list(texts), WORST):
        others = [text for other, own in texts.items() if other != name for text in own]
        for place in draw.sample(range(4), 2):
            made[name][place] = draw.choice([text for text in others if text not in made[name]])
    members = {
        name: (tuple(Descriptor(text, rank) for rank, text in enumerate(own, start=1)),)
        for name, own in made.items()
    }
    return DescriptionSet("", v1.class_names, members, v1.manifest)


def classes_of(prompt: str) -> dict[str, tuple[float, list[str]]]:
    """The recall and descriptors of each class in a prompt of the template `optimize`."""
    found: dict[str, tuple[float, list[str]]] = {}
    name = ""
    for line in prompt.partition("Mean recall:")[0].splitlines():
        if head := re.fullmatch(r"([\w ]+) \(recall ([\d.]+)\):", line):
            name = head[1]
            found[name] = (float(head[2]), [])
        elif name and (item := re.fullmatch(r"- (.+?)(?: \((-?[\d.]+)\))?", line)):
            found[name][1].append(item[1])
    return found


def helpful(prompt: str, seed: int) -> str:
    """Edits of the worst classes, right with probability `RIGHT`."""
    draw = random.Random(f"{seed} {prompt}")
    classes, v1 = classes_of(prompt), load("v1")
    edits = []
    for name in sorted(classes, key=lambda each: classes[each][0])[:WORST]:
        right = draw.random() < RIGHT
        owners = [name] if right else [each for each in classes if each != name]
        texts = [each.text for owner in owners for each in v1.members[owner][0]]
        new = draw.choice([each for each in texts if each not in classes[name][1]] or texts)
        edits.append({"class": name, "action": "replace", "old": draw.choice(classes[name][1]), "new": new})
    return json.dumps({"edits": edits})


def empty(prompt: str, seed: int) -> str:
    """Edits of the worst classes that name nothing in a face."""
    draw = random.Random(f"{seed} {prompt}")
    classes = classes_of(prompt)
    edits = [
        {
            "class": name,
            "action": "replace",
            "old": draw.choice(classes[name][1]),
            "new": draw.choice(NOTHING),
        }
        for name in sorted(classes, key=lambda each: classes[each][0])[:WORST]
    ]
    return json.dumps({"edits": edits})


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """The base URL of a chat completions server on loopback that answers by `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            text = answer(body["messages"][0]["content"], body.get("seed", 0))
            message = {"role": "assistant", "content": text}
            self._send({"choices": [{"index": 0, "finish_reason": "stop", "message": message}]})

        def _send(self, body: Any) -> None:
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def run(
    folder: Path, clips: PackedClips, answer: Answer, seed: int, rounds: int = 8, *, whole: bool = False
) -> dict[str, Any]:
    """One optimisation with its controls, as `optimize --json` prints it."""
    with serving(answer) as url:
        found = optimize(
            "v1@4" if whole else damaged(seed),
            folds=[2, 3, 4, 5],
            test_fold=1,
            dataset=clips,
            model="scripted",
            base_url=url,
            rounds=rounds,
            controls=answer is helpful,
            seed=seed,
            workspace=Workspace(folder),
            device="cpu",
            clip="demo",
        )
    return found.as_dict()


def within(found: dict[str, Any]) -> bool:
    """Whether the gain on the test fold is within the interval of the confirmed gain."""
    gain = found["confirmed"]["gain"]
    return bool(gain["low"] <= found["tested"]["gain"]["value"] <= gain["high"])


def mean(values: list[float]) -> float:
    """Rounded to a tenth."""
    return round(float(np.mean(values)), 1)


def gains(seeds: int, minutes: float, folder: Path) -> dict[str, Any]:
    """The figures of the gains, for as many seeds as the time allows."""
    kept = folder / "clips"
    clips = PackedClips.open(kept) if kept.is_dir() else draw_dataset(kept, clips=CLIPS, seed=DRAWN)
    whole, quarter, nothing, intact = [], [], [], []
    began = time.monotonic()
    for seed in range(1, seeds + 1):
        if time.monotonic() - began > 60 * minutes:
            break
        whole.append(run(folder, clips, helpful, seed))
        quarter.append(run(folder, clips, helpful, seed, rounds=2))
        nothing.append(run(folder, clips, empty, seed))
        intact.append(run(folder, clips, empty, seed, whole=True))
        last = [each[-1] for each in (whole, quarter, nothing, intact)]
        controls = [each["tested"]["gain"]["value"] for each in whole[-1]["controls"].values()]
        ahead = [each["value"] for each in quarter[-1]["beside_controls"].values()]
        tested = [each["tested"]["gain"]["value"] for each in last]
        rounded = np.round([*tested, *controls, *ahead], 1).tolist()
        print(f"seed {seed}, {time.monotonic() - began:.0f} s: {rounded}", flush=True)
    tested = [each["tested"]["gain"]["value"] for each in whole]
    return {
        "seeds": len(whole),
        "clips": CLIPS,
        "uar_of_the_first_on_the_test_fold": mean(
            [each["tested"]["uar"]["value"] - each["tested"]["gain"]["value"] for each in whole]
        ),
        "helpful": {
            "gain_on_the_test_fold": mean(tested),
            "smallest_and_largest": [mean([min(tested)]), mean([max(tested)])],
            "confirmed_gain": mean([each["confirmed"]["gain"]["value"] for each in whole]),
            "test_gain_within_the_confirmed_interval": sum(map(within, whole)),
            **{
                name: mean([each["controls"][name]["tested"]["gain"]["value"] for each in whole])
                for name in whole[0]["controls"]
            },
        },
        "quarter of the budget": {
            "gain_on_the_test_fold": mean([each["tested"]["gain"]["value"] for each in quarter]),
            **{
                f"ahead of {name}": mean([each["beside_controls"][name]["value"] for each in quarter])
                for name in quarter[0]["beside_controls"]
            },
        },
        "empty, from the damaged set": _of_nothing(nothing),
        "empty, from v1@4": _of_nothing(intact),
    }


def _of_nothing(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "gain_on_the_test_fold": mean([each["tested"]["gain"]["value"] for each in found]),
        "confirmed_gain": mean([each["confirmed"]["gain"]["value"] for each in found]),
        "interval_of_the_confirmed_gain_includes_zero": sum(
            each["confirmed"]["gain"]["low"] <= 0 for each in found
        ),
        "test_gain_within_the_confirmed_interval": sum(map(within, found)),
    }


def speed(clips: int = 9000, classes: int = 11, width: int = 512, sets: int = 2000) -> float:
    """Sets scored per second, without the encoding of their texts: the median of five rounds."""
    rng = np.random.default_rng(1)
    torch.manual_seed(1)
    videos = Videos(
        F.normalize(torch.randn(clips, width), dim=-1),
        rng.integers(0, classes, clips),
        rng.integers(2, 6, clips),
    )
    texts = [[f"{label} {number}" for number in range(20)] for label in range(classes)]
    scorer = CandidateSets(videos, lambda new: F.normalize(torch.randn(len(new), width), dim=-1))
    scorer.scores([[own[number] for own in texts] for number in range(20)])
    candidates = [[own[int(rng.integers(20))] for own in texts] for _ in range(sets)]
    rates = []
    for _ in range(5):
        began = time.process_time()
        scorer.scores(candidates)
        rates.append(sets / (time.process_time() - began))
    return float(np.median(rates))


def main() -> None:
    """Measure, print and store the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--folder", type=Path, help="keeps the drawn clips and their features")
    parser.add_argument("--speed", action="store_true", help="only the speed")
    given = parser.parse_args()
    rate = round(speed())
    print(f"{rate} sets per second of CPU time at 9,000 clips x 11 classes")
    if given.speed:
        return
    with tempfile.TemporaryDirectory() as temporary:
        found = gains(given.seeds, given.minutes, given.folder or Path(temporary))
    print(json.dumps(found, indent=2))
    record("optimization", {"sets_per_second_of_cpu_time": rate, **found})


if __name__ == "__main__":
    main()
