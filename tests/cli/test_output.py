"""What reaches a terminal: text from models, files and names is shown, and never obeyed."""

from __future__ import annotations

import json

import pytest

from dfer_prompts.cli import output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b]0;title\x07\x00", "[31mred]0;title"),
        ("\x9b31mred", "31mred"),
        ("user\u202etxt.exe", "usertxt.exe"),
        ("a\u2066b\u2069\u200f\u061c", "ab"),
        ("jo\u200by\u200d\ufeff\u00ad", "joy"),
        ("jo\u3164y\u115f\ufe0f\u034f\u2800", "joy"),
        ("no\u00a0break\u3000wide\rback\u2028line", "no break wide back line"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\ud800lone", "lone"),
        ("é 笑顔 😀 [bold] :cat: 50%", "é 笑顔 😀 [bold] :cat: 50%"),
        (12.5, "12.5"),
    ],
)
def test_clean_keeps_only_visible_characters(text: object, shown: str) -> None:
    assert output.clean(text) == shown


def test_a_table_shows_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("m:cat:7b", "[red]x[/red]", 1.5, 3), ("\x1b[2Jb", "[/]", 22.25, 14)]
    output.print_table("Models :dog: [b]", ["na:cat:me", "[i]", "a", "b"], rows)
    printed = capsys.readouterr().out
    for text in (
        "m:cat:7b",
        "[red]x[/red]",
        "1.50",
        "22.25",
        "Models :dog: [b]",
        "na:cat:me",
        "[i]",
        "[/]",
        "[2Jb",
    ):
        assert text in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize("columns", [24, 40])
def test_a_table_breaks_no_word_that_fits(
    columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [("2026-11-23", "a wrinkled nose and narrow eyes"), ("2026-11-24", "tears")]
    output.print_table("Sets", ["created", "descriptor"], rows)
    printed = capsys.readouterr().out
    assert all(len(line) <= columns for line in printed.splitlines())
    assert set(printed.split()) >= {word for row in rows for cell in row for word in cell.split()}


def test_a_table_without_room_loses_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    output.print_table("Sets", ["set", "sha256"], [("v1", "0123456789" * 4)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert "".join(words[-1] for words in lines[4:] if words) == "0123456789" * 4


def test_a_table_lines_figures_up_at_their_right_end(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table("Recall", ["class", "clips", "recall"], [("fear", 9, "9.09"), ("awe", 10, "100.00")])
    lines = capsys.readouterr().out.splitlines()
    fear, awe = (next(line for line in lines if name in line).rstrip() for name in ("fear", "awe"))
    assert len(fear) == len(awe)
    assert (fear.index("9 "), awe.index("10 ")) == (fear.index(" 9 ") + 1, fear.index(" 9 "))


def test_a_message_shows_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    output.message("no model [m]:cat:7b[/m]\x1b[2J\nThere are: [/] :dog:")
    assert capsys.readouterr() == ("", "no model [m]:cat:7b[/m][2J\nThere are: [/] :dog:\n")


def test_json_stands_alone_and_holds_every_character(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"model": "m:cat:7b \x1b \u202e 笑"}
    output.print_json(value)
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert printed.isascii()


def test_progress_off_a_terminal_is_clean_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with output.progress("Asking :cat:") as report:
        report(1, 2, "[b]\x1b[2J")
    assert capsys.readouterr().err == "Asking :cat:: 1/2 [b][2J\n"
