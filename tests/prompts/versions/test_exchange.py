"""Files of other programs: read as they are, written with what is lost said."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pytest
import yaml
from pyarrow import parquet

from dfer_prompts.classes import load_class_set
from dfer_prompts.description_set import DescriptionSet, Descriptor, Manifest, Seen
from dfer_prompts.errors import InputError
from dfer_prompts.versions.exchange import FORMATS, export, export_file, import_file
from dfer_prompts.versions.store import load

from ..drafts import draft
from ..exchanging import members, read

ENDS = {"dclip": "json", "cupl": "json", "text": "txt", "csv": "csv", "yaml": "yaml", "parquet": "parquet"}


def counted() -> DescriptionSet:
    """Two classes, happiness with one member and anger with two, and all a row can hold."""
    given = {
        "happiness": (
            (Descriptor("wide, bright eyes", 1, 4, 5, ("bright eyes",)), Descriptor("a smile", 2, 2, 5)),
        ),
        "anger": (
            (Descriptor("a frown", 1, 5, 5),),
            (Descriptor("a glare", 1, 3, 5), Descriptor("a frown", 2, 1, 5)),
        ),
    }
    manifest = Manifest(
        class_set={"name": "two", "class_names": list(given)},
        source="llm",
        model="m",
        control="swapped",
        seen=(Seen(dataset="dfew", fingerprint="f", folds=(1, 2)),),
        files={"responses.jsonl": "0"},
    )
    return DescriptionSet("v9", tuple(given), given, manifest)


@pytest.mark.parametrize("kind", [name for name in FORMATS if name != "cupl"])
def test_v1_is_exported_and_imported_unchanged(tmp_path: Path, kind: str) -> None:
    v1, path = load("v1"), tmp_path / f"v1.{ENDS[kind]}"
    written = export_file(v1, path, kind)
    back = import_file(path, load_class_set("mafw"))
    assert (back.format, back.notes) == (kind, [])
    assert back.draft.sha256 == v1.sha256
    assert back.draft.manifest.source == "import"
    assert back.draft.manifest.derivation == {
        "command": "import",
        "file": path.name,
        "sha256": hashlib.sha256(written.data).hexdigest(),
        "format": kind,
    }
    assert any(note == "manifest: source, citation, date and tool version" for note in written.notes)


def test_v1_through_cupl_keeps_each_sentence_as_a_member(tmp_path: Path) -> None:
    export_file(load("v1"), tmp_path / "v1.json", "cupl")
    back = import_file(tmp_path / "v1.json")
    names = load("v1").class_names
    assert back.format == "cupl"
    assert back.draft.class_names == names
    assert back.draft.class_texts(names) == load("v1").class_texts(names)
    assert {len(member) for each in back.draft.members.values() for member in each} == {1}
    assert "--format dclip" in back.notes[0]


@pytest.mark.parametrize(
    ("kind", "stored", "losses"),
    [
        (
            "dclip",
            {"happiness": [["wide, bright eyes", "a smile"]], "anger": [["a frown", "a glare"]]},
            {"members", "support", "wordings"},
        ),
        (
            "cupl",
            {
                "happiness": [["wide, bright eyes; and a smile."]],
                "anger": [["a frown."], ["a glare and a frown."]],
            },
            {"descriptors", "support", "wordings"},
        ),
        (
            "text",
            {"happiness": [["wide, bright eyes", "a smile"]], "anger": [["a frown"]]},
            {"class names", "members", "support", "wordings"},
        ),
        (
            "csv",
            {"happiness": [["wide, bright eyes", "a smile"]], "anger": [["a frown"], ["a glare", "a frown"]]},
            {"wordings"},
        ),
    ],
)  # fmt: skip
def test_losses_of_a_format_are_noted_and_the_rest_is_read_back(
    tmp_path: Path, kind: str, stored: dict, losses: set[str]
) -> None:
    written = export(counted(), kind)
    assert {note.partition(":")[0] for note in written.notes} == losses | {
        "manifest", "control", "seen", "answers",
    }  # fmt: skip
    assert "manifest: source, model, date" in " ".join(written.notes)
    assert "folds 1, 2 of dfew" in " ".join(written.notes)
    (tmp_path / "two.yaml").write_text("name: two\nclasses: [happiness, anger]", encoding="utf-8")
    back = read(tmp_path, "x", written.data, str(tmp_path / "two.yaml"), format=kind)
    assert members(back.draft) == stored


@pytest.mark.parametrize("kind", ["csv", "yaml", "parquet"])
def test_tables_keep_members_ranks_and_support(tmp_path: Path, kind: str) -> None:
    back = read(tmp_path, f"x.{ENDS[kind]}", export(counted(), kind).data)
    expected = dict(counted().members)
    if kind == "csv":
        first, second = expected["happiness"][0]
        expected["happiness"] = ((Descriptor(first.text, 1, 4, 5), second),)
    assert back.draft.members == expected
    assert back.draft.class_names == ("happiness", "anger")


def test_the_files_are_those_of_the_other_programs() -> None:
    two = draft({"happiness": [["a smile", "bright eyes"], ["a grin"]], "anger": [["a frown"]]})
    assert json.loads(export(two, "dclip").data) == {
        "happiness": ["a smile", "bright eyes", "a grin"], "anger": ["a frown"],
    }  # fmt: skip
    assert json.loads(export(two, "cupl").data) == {
        "happiness": ["a smile and bright eyes.", "a grin."], "anger": ["a frown."],
    }  # fmt: skip
    assert export(two, "text").data == b"a smile and bright eyes.\na frown.\n"
    assert export(two, "csv").data.decode().splitlines()[:3] == [
        "class_name,label,member,rank,descriptor,support,samples",
        "happiness,0,0,1,a smile,1,1",
        "happiness,0,0,2,bright eyes,1,1",
    ]
    assert yaml.safe_load(export(two, "yaml").data)[3] == {
        "class_name": "anger", "label": 1, "member": 0, "rank": 1, "descriptor": "a frown", "support": 1,
        "samples": 1, "wordings": [],
    }  # fmt: skip
    table = parquet.read_table(io.BytesIO(export(two, "parquet").data))
    assert table.column("descriptor").to_pylist() == ["a smile", "bright eyes", "a grin", "a frown"]


RELEASED = """
'a smiling mouth, raised cheeks, wrinkled eyes, and arched eyebrows.',
'tears, a downward turned mouth, drooping upper eyelids, and a wrinkled forehead.',
'relaxed facial muscles, a straight mouth, a smooth forehead, and unremarkable eyebrows.',
'furrowed eyebrows, narrow eyes, tightened lips, and flared nostrils.',
'widened eyes, an open mouth, raised eyebrows, and a frozen expression.',
'a wrinkled nose, lowered eyebrows, a tightened mouth, and narrow eyes.',
'raised eyebrows, parted lips, a furrowed brow, and a retracted chin.'
"""


def test_the_released_list_of_seven_classes_is_v1_in_the_order_of_dfew(tmp_path: Path) -> None:
    back = read(tmp_path, "list.txt", RELEASED, "dfew")
    assert back.draft.members == {name: load("v1").members[name] for name in load_class_set("dfew").names}


@pytest.mark.parametrize(
    ("line", "descriptors"),
    [
        ("a smile.", ["a smile"]),
        ("a smile", ["a smile"]),
        ("a smile and tears.", ["a smile", "tears"]),
        ("A smile, tears, and a frown.", ["A smile", "tears", "a frown"]),
        ("wide, staring eyes; tears; and pale skin.", ["wide, staring eyes", "tears", "pale skin"]),
        ("one eyebrow lower and one raised, and a frown.", ["one eyebrow lower and one raised", "a frown"]),
        ("The person smiles, and the cheeks rise.", ["The person smiles, and the cheeks rise."]),
        ("A face that is happy!", ["A face that is happy!"]),
        ("smile, tears", ["smile, tears"]),
    ],
)
def test_a_line_that_is_a_list_is_split(tmp_path: Path, line: str, descriptors: list[str]) -> None:
    (tmp_path / "two.yaml").write_text("name: two\nclasses: [a, b]", encoding="utf-8")
    back = read(tmp_path, "x.txt", f"{line}\r\n\r\nb and c.\r\n", str(tmp_path / "two.yaml"))
    assert members(back.draft)["a"] == [descriptors]
    assert bool(back.notes) == (len(descriptors) == 1)


def test_a_descriptor_that_would_be_split_is_noted() -> None:
    (note,) = [
        note
        for note in export(draft({"a": [["one brow up and one down"]], "b": [["x"]]}), "text").notes
        if note.startswith("descriptors")
    ]
    assert note.startswith("descriptors of a:")


def test_class_names_are_matched_by_name_and_alias(tmp_path: Path) -> None:
    given = {
        "Angry": ["a frown"],
        "joyful": ["a smile"],
        "Sad": ["tears"],
        "Neutral": ["calm"],
        "SURPRISED": ["o"],
    }
    given |= {"disgusted": ["a wrinkled nose"], "fearful": ["wide eyes"]}  # fmt: skip
    back = read(tmp_path, "x.json", json.dumps(given), "dfew", license="mit")
    assert back.draft.class_names == load_class_set("dfew").names
    assert members(back.draft)["anger"] == [["a frown"]]
    assert back.draft.manifest.license == "mit"
    own = read(tmp_path, "mine.json", json.dumps(given))
    assert own.draft.class_names == tuple(given)
    assert own.draft.manifest.class_set["name"] == "mine"


def test_a_table_is_ordered_by_its_numbers_not_by_its_rows(tmp_path: Path) -> None:
    header = "\ufeffdescriptor;class_name;label;member;rank;note\n"
    text = f"{header}w;a;0;1;1;\nz;b;1;0;1;x\ny;a;0;0;2;\nx;a;0;0;1;\n"
    back = read(tmp_path, "x.csv", text)
    assert members(back.draft) == {"a": [["x", "y"], ["w"]], "b": [["z"]]}
    assert back.draft.class_names == ("a", "b")
    assert back.notes == ["ignored columns: 'note'"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", "class_name,descriptor\na,x\nb,z\na,y\n"),
        ("x.tsv", 'class_name\tdescriptor\na\tx\nb\tz\n\na\t" y "\n'),
        ("x.yaml", "a: [x, y]\nb:\n- z\n"),
        ("x.yml", "[{class_name: a, descriptor: x}, {class_name: b, descriptor: z},"
         " {class_name: a, descriptor: y}]"),
        ("x.json", '\ufeff{"a": ["x", " y\\n"], "b": ["z"]}'),
    ],
)  # fmt: skip
def test_the_required_columns_of_a_file(tmp_path: Path, name: str, content: str) -> None:
    assert members(read(tmp_path, name, content).draft) == {"a": [["x", "y"]], "b": [["z"]]}


def test_spreadsheet_formulas_are_kept_and_noted(tmp_path: Path) -> None:
    text = '=HYPERLINK("http://e")'
    written = export(draft({"@a": [[text, 'say "o", o']], "b": [["-x"]]}), "csv")
    assert "3 texts begin with =, +, - or @" in " ".join(written.notes)
    assert members(read(tmp_path, "x.csv", written.data).draft) == {
        "@a": [[text, 'say "o", o']],
        "b": [["-x"]],
    }


def test_an_export_requires_a_known_format_and_a_new_file(tmp_path: Path) -> None:
    v1 = load("v1")
    with pytest.raises(InputError, match=r"no format 'dlcip'; did you mean dclip\?"):
        export(v1, "dlcip")
    with pytest.raises(InputError, match=r"\.json may be dclip or cupl"):
        export_file(v1, tmp_path / "x.json")
    assert export_file(v1, tmp_path / "x.YML").format == "yaml"
    with pytest.raises(InputError, match="already exists"):
        export_file(v1, tmp_path / "x.YML")
    assert list(tmp_path.iterdir()) == [tmp_path / "x.YML"]
