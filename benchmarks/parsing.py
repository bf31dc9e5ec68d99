"""How many answers a second one core parses: run `python benchmarks/parsing.py`.

Parses the answers of the tests again and again, prints the median rate beside that of the plain way (a line
is a descriptor, its bullet stripped) in the same run, the share of answers that either reads as the tests
expect, and the slowest answer. Fails (exit 1) below 1,000 answers a second.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from dfer_prompts import parse_answer

CORPUS = Path(__file__).resolve().parents[1] / "tests" / "prompts" / "answers"
GOAL = 1_000  # answers a second
LONG = 300  # characters, what chat models write by default
ROUNDS = 7


def split_lines(text: str) -> list[str]:
    """The plain way: every line that is not empty, without what stands before its first word."""
    stripped = (line.strip(" \t-*+•.,:;0123456789()") for line in text.splitlines())
    return [line[0].lower() + line[1:] for line in stripped if line]


def rate(parse: Callable[[str], list[str]], answers: Sequence[str]) -> float:
    """Median answers per second."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for answer in answers:
            parse(answer)
        times.append(time.process_time() - start)
    return len(answers) / statistics.median(times)


def share_right(parse: Callable[[str], list[str]], cases: Sequence[dict[str, Any]]) -> float:
    """Percent of the answers that are read as expected."""
    return 100 * sum(parse(case["answer"]) == case["descriptors"] for case in cases) / len(cases)


def slowest(cases: Sequence[dict[str, Any]]) -> tuple[float, str]:
    """The longest time one answer takes in seconds (the best of three), and which it is."""
    times = []
    for case in cases:
        rounds = []
        for _ in range(3):
            start = time.process_time()
            parse_answer(case["answer"])
            rounds.append(time.process_time() - start)
        times.append((min(rounds), str(case["about"])))
    return max(times)


def main() -> int:
    """Measure, print, judge."""
    cases = [
        case for part in sorted(CORPUS.glob("*.yaml")) for case in yaml.safe_load(part.read_text("utf-8"))
    ]
    answers = [case["answer"] for case in cases]
    parsed, plain = rate(parse_answer, answers), rate(split_lines, answers)
    long = [answer for answer in answers if len(answer) >= LONG]
    parsed_long = rate(parse_answer, long)
    seconds, which = slowest(cases)
    print(
        f"{len(answers)} answers of {statistics.mean(map(len, answers)):.0f} characters on average, one core"
    )
    print(
        f"parse_answer:   {parsed:9,.0f} answers/s, {share_right(parse_answer, cases):.0f}% read as expected"
    )
    print(f"split and strip:{plain:9,.0f} answers/s, {share_right(split_lines, cases):.0f}% read as expected")
    print(f"{plain / parsed:.0f} times the plain way; the slowest takes {1000 * seconds:.2f} ms ({which})")
    print(f"the {len(long)} answers of {LONG} and more characters: {parsed_long:,.0f} answers/s")
    print(f"both at least {GOAL:,} answers/s: {'yes' if min(parsed, parsed_long) >= GOAL else 'NO'}")
    return int(min(parsed, parsed_long) < GOAL)


if __name__ == "__main__":
    sys.exit(main())
