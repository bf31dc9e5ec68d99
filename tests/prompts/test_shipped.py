"""What the package ships and shows: v1, its card, and the names users may rely on."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import dfer_prompts
from dfer_prompts import DescriptionStore, Workspace, load, load_class_set
from dfer_prompts.workspace import shipped

from ..appendix import APPENDIX_A


def test_v1_is_the_papers_appendix() -> None:
    v1 = load("v1")
    assert v1.class_names == tuple(APPENDIX_A) == load_class_set("mafw").names
    assert v1.class_texts(list(APPENDIX_A)) == [[sentence] for sentence in APPENDIX_A.values()]
    assert {len(v1.members[name][0]) for name in v1.class_names} == {4}
    assert v1.manifest.source == "paper"
    assert "BMVC 2023" in str(v1.manifest.citation)
    assert "2308.13382" in str(v1.manifest.citation)


@pytest.mark.parametrize("name", ["dfew", "ferv39k"])
def test_v1_has_texts_for_the_seven_classes(name: str) -> None:
    classes = load_class_set(name).names
    assert load("v1").class_texts(classes) == [[APPENDIX_A[each]] for each in classes]


def test_v1_is_unchanged_and_equals_what_the_store_writes(isolated: Path) -> None:
    store = DescriptionStore(Workspace(isolated))
    assert not store.verify("v1")
    store.save(store.load("v1"), "again")
    folders = shipped("descriptions") / "v1", isolated / "descriptions" / "again"
    rows, again = ((folder / "descriptors.jsonl").read_text(encoding="utf-8") for folder in folders)
    assert again == rows
    card, again = ((folder / "README.md").read_text(encoding="utf-8") for folder in folders)
    # The wording of a card may change, but v1 may not: header, table, origin and code are compared.
    assert facts(again.replace("again", "v1")) == facts(card.replace("nobody has said", "not specified"))


def facts(card: str) -> list[str]:
    """The YAML header, the rows of the table, the entries "- Key: value" and the code of a card."""
    _, header, body = card.split("---\n", 2)
    unwrapped = re.compile(r"\||- [A-Z][\w-]*( [\w-]+){0,2}: |    |from datasets|from dfer_prompts|\w+ = ")
    return [header, *filter(unwrapped.match, body.split("\n"))]


def test_datasets_opens_exactly_the_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import sys, datasets; loaded = datasets.load_dataset(sys.argv[1]);"
        "rows = loaded['train'];"
        "print(list(loaded), rows.num_rows, rows.column_names, rows[0]['descriptor'], rows[43]['descriptor'])"
    )
    for name, value in {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    folder = shipped("descriptions") / "v1"
    ended = subprocess.run(
        [sys.executable, "-c", program, str(folder)], check=True, capture_output=True, text=True, timeout=120
    )
    columns = ["class_name", "label", "member", "rank", "descriptor", "support", "samples"]
    columns += ["wordings", "normal_form"]
    assert ended.stdout.strip() == f"['train'] 44 {columns} a smiling mouth a sighing face"


def test_public_names_exist_and_import_no_torch() -> None:
    program = (
        "import sys, dfer_prompts; early = set(sys.modules);"
        "values = [getattr(dfer_prompts, name) for name in dfer_prompts.__all__];"
        "assert dir(dfer_prompts) == sorted(set(dfer_prompts.__all__));"
        "print('pydantic' in early, 'torch' in sys.modules, 'datasets' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    assert ended.stdout.split() == ["False", "False", "False"]
    with pytest.raises(AttributeError, match="No dfer_prompts attribute lod"):
        getattr(dfer_prompts, "lod")  # noqa: B009 - a wrong name on purpose
