"""Files of other programs that cannot be read: refused in a sentence, with the place."""

from __future__ import annotations

import io
import random
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from dfer_prompts.errors import InputError
from dfer_prompts.versions.exchange import FORMATS, export, import_file
from dfer_prompts.versions.store import load

from ..exchanging import read


def table(**columns: list) -> bytes:
    stream = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), stream)
    return stream.getvalue()


BAD = [
    ("x.json", b"", "is empty"),
    ("x.json", b" \n", "is empty"),
    ("x.json", b'{"a": ["caf\xe9"]}', r"x\.json, line 1 is not UTF-8 text \(byte 11\)"),
    ("x.json", '{"a": ["x"]}'.encode("utf-16"), "is UTF-16 text\nSave it as UTF-8"),
    ("x.json", '{"a": ["x"]}'.encode("utf-32"), "is UTF-32"),
    ("x.json", "[1", "not valid JSON: line 1, column 3"),
    ("x.json", "[" * 100_000, "nested too deeply"),
    ("x.json", '[{"class_name": "a", "descriptor": "x"}]', r"contains a list; DCLIP's and CuPL's"),
    ("x.json", '"a"', "contains one value"),
    ("x.json", '{"a": [' + "9" * 5000 + "]}", "Exceeds the limit"),
    ("x.json", "{}", "has no classes"),
    ("x.json", '{"a": {"b": ["x"]}}', "class 'a' has no list of texts"),
    ("x.json", '{"a": ["x"], "b": []}', "list of the class 'b' is empty"),
    ("x.json", '{"a": ["x"], "a": ["y"]}', "duplicate key 'a'"),
    ("x.json", '{"a": ["x"], "a ": ["y"]}', "differ only in white space"),
    ("x.json", '{"a": ["x"], "b": ["y", 5]}', "text 2 of the class 'b' is the int 5, not text"),
    ("x.json", '{"a": ["x"], "b": ["y", ""]}', "text 2 of the class 'b' is empty"),
    ("x.json", '{"a": ["x"], "b": ["\\u001b[2J"]}', "unprintable character, U\\+001B"),
    ("x.json", '{"a": ["x"], "b": ["' + "y" * 2001 + '"]}', "has 2001 characters"),
    ("x.json", '{"happy": ["x"], "happiness": ["y"]}', "'happy' and 'happiness' are the same class"),
    ("x.json", '{"a": ["x"]}', "at least two are required"),
    ("x.json", '{"../a": ["x"], "b": ["y"]}', "is not a valid folder name"),
    ("x.csv", "class,text\na,b\n", "no column class_name; it has 'class', 'text'"),
    ("x.csv", "class_name,descriptor,descriptor\n", "two columns descriptor"),
    ("x.csv", "class_name,descriptor\n", "has no rows"),
    ("x.csv", "class_name,descriptor\na,b,c\n", "line 2 has 3 cells under 2 columns"),
    ("x.csv", 'class_name,descriptor\na,"b\nc,d\n', "line 3 is not valid CSV"),
    ("x.csv", "class_name,descriptor\na,\n", "line 2: descriptor: Field required"),
    ("x.csv", "class_name,descriptor,rank\na,b,first\n", "line 2: rank: Input should be a valid integer"),
    ("x.csv", "class_name,descriptor,rank\na,b,1\na,c,3\nd,e,1\n", "'a' has the ranks 1, 3"),
    ("x.csv", "class_name,descriptor,rank\na,b,1\na,c,\n", "a rank in some rows but not in others"),
    ("x.csv", "class_name,descriptor,member\na,b,1\nc,d,0\n", "'a' has the members 1"),
    ("x.csv", "class_name,descriptor,label\na,b,0\na,c,1\n", "'a' has more than one label"),
    ("x.csv", "class_name,descriptor,label\na,b,0\nc,d,0\n", "two classes have the same label"),
    ("x.yaml", "a: [x", "not valid YAML: line "),
    ("x.yaml", "a: [x]\nb: [y]\na: [z]\n", "line 3: the key 'a' is there a second time"),
    ("x.yaml", "yes: [x]\nb: [y]\n", "the class True is not text"),
    ("x.yaml", "a: [x]\nb: [no]\n", "text 1 of the class 'b' is true or false"),
    ("x.yaml", "a: x\n", "has no list"),
    ("x.yaml", "- a\n- b\n", "each item of the list must be a row"),
    ("x.yaml", "- {class_name: a, descriptor: 5}\n", "item 1: descriptor: Input should be a valid string"),
    ("x.parquet", b"PAR1 and then nothing", "not a parquet file, or damaged"),
    ("x.csv", b"PAR1" + b"\0" * 20, "not a parquet file, or damaged"),
    ("x.parquet", export(load("v1"), "parquet").data[:-40] + b"\0" * 40, "not a parquet file, or damaged"),
    ("x.parquet", table(class_name=["a"], descriptor=["x" * 9]).replace(b"x" * 9, b"\xff" * 9), "or damaged"),
    ("x.parquet", table(a=[1]), "no column class_name; it has 'a'"),
    ("x.parquet", table(class_name=[1], descriptor=["x"]), "row 1: class_name: Input should be a valid str"),
    ("x.parquet", table(class_name=["a"] * 200_001, descriptor=["x"] * 200_001), "has 200001 rows"),
    ("x.txt", "a.\nb.\n", "give --classes"),
    ("x.doc", "a", "x.doc has no known suffix: give --format"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "complaint"), BAD)
def test_an_invalid_file_is_an_error_with_the_place(
    tmp_path: Path, name: str, content: bytes | str, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        read(tmp_path, name, content)
    assert str(caught.value).count("\n") <= 1


@pytest.mark.parametrize(
    ("name", "content", "classes", "complaint"),
    [
        ("x.json", '{"anger": ["x"], "fury": ["y"]}', "dfew", "has 'fury', which dfew does not have, and"),
        ("x.json", '{"anger": ["x"], "Angry": ["y"]}', "dfew", "'anger' and 'Angry' are both anger of dfew"),
        ("x.txt", "a.\nb.\n", "dfew", "has 2 lines for 7 classes: happiness"),
        ("x.txt", "a.\n" * 6 + "\x1b.\n", "dfew", r"line 7 contains an unprintable character, U\+001B"),
    ],
)  # fmt: skip
def test_classes_that_do_not_fit_are_named(
    tmp_path: Path, name: str, content: str, classes: str, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        read(tmp_path, name, content, classes)


def test_a_path_that_is_not_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        import_file(tmp_path)
    with pytest.raises(InputError, match="no file"):
        import_file(tmp_path / "x.json")
    with pytest.raises(InputError, match="not a regular file"):
        import_file(Path("/dev/null"))
    with (tmp_path / "big.csv").open("wb") as stream:
        stream.truncate(100_000_000)
    with pytest.raises(InputError, match="larger than 16 MiB"):
        import_file(tmp_path / "big.csv")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damaged_file_is_read_or_refused(tmp_path: Path, kind: str) -> None:
    chance, content = random.Random(5), export(load("v1@2"), kind).data
    read_or_refused = []
    for _ in range(60):
        data = bytearray(content)
        for _ in range(chance.randint(1, 5)):
            place = chance.randrange(len(data) + 1)
            data[place : place + chance.randrange(40)] = chance.choice(
                (
                    b"",
                    b'"',
                    b"\xff",
                    b"\0",
                    b"\n",
                    b"[{",
                    b"&a *a",
                    b"!!int ",
                    b"<<: ",
                    b"9" * 5000,
                    data[:300],
                )
            )
        try:
            back = read(tmp_path, "x", bytes(data), "mafw", format=kind).draft
            read_or_refused.append(len(back.class_names) == 11)
        except InputError as error:
            read_or_refused.append(str(error).count("\n") <= 1)
    assert read_or_refused == [True] * 60
