"""Speed and accuracy of the parser.

`python benchmarks/parsing.py` parses the answers of the tests repeatedly and prints the median rate beside
that of the plain way (a line is a descriptor, its bullet stripped) in the same run, the share of answers that
each reads as the tests expect, and the slowest answer. Fails (exit 1) below 1,000 answers per second.

`python benchmarks/parsing.py --corpus models` prints the accuracy on one file of `tests/prompts/answers`
instead; `--misses` lists each answer that is not read as expected. Run it at the commit that added the file
to get the first result on unseen answers.

Accuracy compares texts exactly. Precision is the share of the parser's descriptors that are expected, recall
the share of the expected ones that the parser found. A descriptor that is not expected is harmful unless it
is another wording of an expected one of the same answer: the words of one contain those of the other, and at
most two words differ (articles, forms of "be", and a plural s do not count).
"""

from __future__ import annotations

import argparse
import re
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
FILLERS = frozenset({"a", "an", "the", "is", "are", "be", "that", "which", "their", "its"})


def split_lines(text: str) -> list[str]:
    """The plain way: every line that is not empty, from its first word on."""
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


def share_right(parse: Callable[[dict[str, Any]], list[str]], cases: Sequence[dict[str, Any]]) -> float:
    """Percent of the answers that are read as expected."""
    return 100 * sum(parse(case) == case["descriptors"] for case in cases) / len(cases)


def slowest(cases: Sequence[dict[str, Any]]) -> tuple[float, str]:
    """The longest time of one answer in seconds (the best of three), and which answer it is."""
    times = []
    for case in cases:
        rounds = []
        for _ in range(3):
            start = time.process_time()
            parse_answer(case["answer"])
            rounds.append(time.process_time() - start)
        times.append((min(rounds), str(case["about"])))
    return max(times)


def read_corpus(name: str) -> list[dict[str, Any]]:
    """The answers of one file of the corpus."""
    cases: list[dict[str, Any]] = yaml.safe_load((CORPUS / f"{name}.yaml").read_text("utf-8"))
    return cases


def content_words(text: str) -> set[str]:
    """The content words, in lower case and without a plural s."""
    found = re.findall(r"[\w'-]+", text.casefold())
    return {word.removesuffix("s") for word in found if word not in FILLERS}


def is_harmful(descriptor: str, expected: Sequence[str]) -> bool:
    """Whether an unexpected descriptor is more than another wording of an expected one."""
    mine = content_words(descriptor)
    wordings = [content_words(each) for each in expected]
    return not any((mine <= each or each <= mine) and len(mine ^ each) <= 2 for each in wordings)


def measure_accuracy(cases: Sequence[dict[str, Any]], show_misses: bool) -> None:
    """Print precision, recall and the number of harmful descriptors."""
    found = expected = right = harmful = exact = 0
    for case in cases:
        wanted, got = case["descriptors"], parse_answer(case["answer"], case.get("class"))
        unexpected = [each for each in got if each not in wanted]
        bad = [each for each in unexpected if is_harmful(each, wanted)]
        found, expected = found + len(got), expected + len(wanted)
        right, harmful = right + len(got) - len(unexpected), harmful + len(bad)
        exact += got == wanted
        if show_misses and got != wanted:
            print(f"{case['about']}\n  expected: {wanted}\n  read:     {got}\n  harmful:  {bad}")
    print(f"{len(cases)} answers, {exact} read exactly as expected")
    print(f"precision {100 * right / max(found, 1):.1f}% ({right} of {found} descriptors read)")
    print(f"recall    {100 * right / max(expected, 1):.1f}% ({right} of {expected} expected)")
    print(f"harmful   {harmful} of {found} descriptors read")


def read_options() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description="Measure the parser of answers.")
    names = sorted(path.stem for path in CORPUS.glob("*.yaml"))
    parser.add_argument("--corpus", choices=names, help="print the accuracy on this file of answers")
    parser.add_argument("--misses", action="store_true", help="list what is read otherwise (with --corpus)")
    return parser.parse_args()


def main() -> int:
    """Measure and print."""
    options = read_options()
    if options.corpus:
        measure_accuracy(read_corpus(options.corpus), options.misses)
        return 0
    return measure_speed()


def measure_speed() -> int:
    """Print the rates; returns 1 if one is below the goal."""
    cases = [case for path in sorted(CORPUS.glob("*.yaml")) for case in read_corpus(path.stem)]
    answers = [case["answer"] for case in cases]
    right = share_right(lambda case: parse_answer(case["answer"], case.get("class")), cases)
    plain_right = share_right(lambda case: split_lines(case["answer"]), cases)
    parsed, plain = rate(parse_answer, answers), rate(split_lines, answers)
    long = [answer for answer in answers if len(answer) >= LONG]
    parsed_long = rate(parse_answer, long)
    seconds, which = slowest(cases)
    print(
        f"{len(answers)} answers of {statistics.mean(map(len, answers)):.0f} characters on average, one core"
    )
    print(f"parse_answer:   {parsed:9,.0f} answers/s, {right:.0f}% read as expected")
    print(f"split and strip:{plain:9,.0f} answers/s, {plain_right:.0f}% read as expected")
    print(f"{plain / parsed:.0f} times the plain way; the slowest takes {1000 * seconds:.2f} ms ({which})")
    print(f"the {len(long)} answers of {LONG} and more characters: {parsed_long:,.0f} answers/s")
    print(f"both at least {GOAL:,} answers/s: {'yes' if min(parsed, parsed_long) >= GOAL else 'NO'}")
    return int(min(parsed, parsed_long) < GOAL)


if __name__ == "__main__":
    sys.exit(main())
