"""`reproduce` from Python: the paper's rows as settings, the published figures, and what runs are worth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from dfer_model.data.packed import PackedClips
from dfer_model.metrics import measures
from dfer_model.runs import Predictions, Run, write_predictions
from dfer_model.training.run_writer import write_json
from dfer_prompts import Workspace, load, reproduce
from dfer_prompts.api.reproduce.paper_tables import find_rows, find_tables, paper, published_figures
from dfer_prompts.api.reproduce.plan import Study, plan, row_settings
from dfer_prompts.api.reproduce.results import figures, merged
from dfer_prompts.errors import InputError, Interrupted

from ..model import tiny

QUICK = ["frames=2", "batch_size=4", "workers=0", "weights=random", "select=last"]
TRAINED = [
    ("table2", "DFER-CLIP with temporal model"),
    ("table3", "learnable + descriptors, with temporal model"),
    ("table4", "end, class-specific"),
    ("tableA", "1 description"),
]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed", name="dfew")


@pytest.fixture
def study(packed: PackedClips, tmp_path: Path) -> Study:
    (tmp_path / "farl.pth").touch()
    v1 = load("v1")
    return Study(
        workspace=Workspace(tmp_path),
        clips=packed,
        folds=(1, 2),
        seeds=(1, 2, 3),
        descriptions=v1,
        second=replace(v1.top(2), name="v2"),
        farl=tmp_path / "farl.pth",
        chosen={"preset": "paper", "clip": None, "weights": None, "epochs": None, "overrides": ()},
    )


def row(table: str, name: str) -> tuple[str, int, Any]:
    (found,) = find_rows([table], [name])[table]
    return table, *found


@pytest.mark.parametrize("preset", ["paper", "paper-text", "default", "demo"])
def test_every_row_of_every_table_has_settings_texts_and_runs(study: Study, preset: str) -> None:
    study.chosen["preset"] = preset
    without = []
    for table, rows in find_rows(list(paper().tables), []).items():
        for number, each in rows:
            planned = plan(study, table, number, each)
            if planned.note:
                without.append(each.name)
                continue
            assert len(planned.specs) == (6 if each.random else 2)
            assert planned.texts is not None
            assert planned.texts.class_names == study.clips.class_names
    # v1 has four descriptors of each class.
    published_only = [each.name for each in paper().tables["table5"].rows if each.published_only]
    assert without == [*published_only, "top 6"]
    assert len(published_only) == 11


def test_rows_have_the_settings_of_the_paper(study: Study) -> None:
    def settings(table: str, name: str, *keys: str) -> list[Any]:
        return [getattr(row_settings(study, row(table, name)[2]), key) for key in keys]

    assert settings("table1", "16 contexts", "contexts", "temporal_depth") == [16, 0]
    assert settings("table1", "8 contexts, depth 3", "contexts", "temporal_depth") == [8, 3]
    assert settings("table2", "zero-shot FaRL", "clip", "weights", "epochs") == [
        "ViT-B-16-quickgelu", str(study.farl), 0,
    ]  # fmt: skip
    assert settings("table2", "linear probe", "classifier", "lr_image") == ["linear", 0]
    assert settings("table2", "Co-CoOp", "classifier", "context_kind") == ["cocoop", "unified"]
    assert settings("table4", "middle, unified", "position", "context_kind") == ["middle", "unified"]
    texts = {
        name: plan(study, *row(table, name)).texts
        for table, name in [
            ("table2", "zero-shot CLIP"), ("table3", "learnable + class, with temporal model"),
            ("tableA", "2 descriptions"), ("tableB", "top 2"),
        ]
    }  # fmt: skip
    assert {name: each.texts[0] for name, each in texts.items() if each} == {
        "zero-shot CLIP": ("an expression of happiness.",),
        "learnable + class, with temporal model": ("happiness.",),
        "2 descriptions": (
            "a smiling mouth, raised cheeks, wrinkled eyes, and arched eyebrows.",
            "a smiling mouth and raised cheeks.",
        ),
        "top 2": ("a smiling mouth and raised cheeks.",),
    }


def test_a_row_overrides_the_preset_and_is_overridden_by_set(study: Study) -> None:
    study.chosen.update(preset="demo", epochs=2)
    tuned = row("table2", "DFER-CLIP with temporal model")[2]
    # The demo preset freezes the image tower; the paper's DFER-CLIP does not.
    assert (row_settings(study, tuned).lr_image, row_settings(study, tuned).epochs) == (1e-5, 2)
    assert row_settings(study, row("table2", "CoOp")[2]).lr_image == 0
    assert row_settings(study, row("table2", "zero-shot CLIP")[2]).epochs == 0
    over = replace(study, chosen={**study.chosen, "overrides": ["lr_image=0", "temporal_depth=2"]})
    assert (row_settings(over, tuned).lr_image, row_settings(over, tuned).temporal_depth) == (0, 2)
    (study.workspace.root / "dfer.yaml").write_text("presets: {own: {lr_image: 0.5}}")
    study.chosen.update(preset="own")
    own = replace(study, workspace=Workspace(study.workspace.root))
    assert row_settings(own, tuned).lr_image == 0.5


def test_a_row_reports_what_it_requires(study: Study) -> None:
    bare = replace(study, second=None, farl=None)
    assert "--second" in plan(bare, *row("tableA", "2 descriptions")).note
    assert "--farl" in plan(bare, *row("table2", "zero-shot FaRL")).note
    assert "v1 has only 4 descriptors" in plan(bare, *row("tableB", "top 6")).note


def test_every_row_of_the_paper_has_its_published_figures() -> None:
    known = published_figures([])
    for name, table in paper().tables.items():
        assert set(known[name]) == {row.name for row in table.rows if row.in_paper}
        for by_dataset in known[name].values():
            assert set(by_dataset) <= set(paper().protocol.folds)
            for each in by_dataset.values():
                assert each.source == f"Zhao and Patras, BMVC 2023 (arXiv 2308.13382), Table {name[5:]}"
    extra = [row.name for table in paper().tables.values() for row in table.rows if not row.in_paper]
    assert extra == [
        "a photo of {class}, with temporal model", "an expression of {class}, with temporal model",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "row", "dataset", "uar", "war"),
    [
        ("table1", "16 contexts", "mafw", 37.98, 50.40),
        ("table2", "zero-shot FaRL", "dfew", 23.14, 31.54),
        ("table2", "fine-tuning with temporal model", "ferv39k", 40.55, 51.22),
        ("table3", "learnable + class, with temporal model", "mafw", 39.64, 51.21),
        ("table4", "middle, class-specific", "dfew", 59.24, 71.33),
        ("table5", "T-ESFL", "mafw", 33.28, 48.18),
        ("table5", "DFER-CLIP", "ferv39k", 41.27, 51.65),
        ("tableA", "2 descriptions", "dfew", 60.42, 72.01),
        ("tableB", "top 6", "mafw", 39.25, 52.37),
    ],
)
def test_published_figures_are_those_of_the_paper(
    table: str, row: str, dataset: str, uar: float, war: float
) -> None:
    figure = published_figures([])[table][row][dataset]
    assert (figure.uar, figure.war) == (uar, war)


def test_published_figures_are_all_of_the_paper(test_data: Path) -> None:
    transcript = yaml.safe_load((test_data / "paper" / "tables.yaml").read_text("utf-8"))
    for name in paper().tables:
        theirs = [
            {dataset: tuple(pair) for dataset, pair in row.items() if pair}
            for row in transcript[name].values()
        ]
        ours = [
            {dataset: (each.uar, each.war) for dataset, each in by_dataset.items()}
            for by_dataset in published_figures([])[name].values()
        ]
        assert sorted(map(repr, ours)) == sorted(map(repr, theirs))


def test_own_figures_take_precedence(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text(
        "sources: {page: page 8}\npublished:\n"
        "  Table5: {dfer-clip: {DFEW: {uar: 1, war: 2, source: page}}}\n"
        "  table1: {4 contexts: {mafw: {uar: 3, war: 4, source: page}}}\n"
    )
    second.write_text("published: {table1: {4 contexts: {mafw: {uar: 5, war: 6, source: mine}}}}")
    known = published_figures([first, second])
    ours = known["table5"]["DFER-CLIP"]
    assert (ours["dfew"].uar, ours["dfew"].source, ours["mafw"].uar) == (1, "page 8", 39.89)
    assert known["table1"]["4 contexts"]["mafw"].uar == 5
    assert published_figures([])["table5"]["DFER-CLIP"]["dfew"].uar == 59.61


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("published: {table1: {5 contexts: {}}}", "a.yaml: no row '5 contexts' in table1; did you mean"),
        ("published: {table9: {}}", "a.yaml: no table 'table9'"),
        ("published: {table1: {4 contexts: {dfew: {uar: 101, war: 1, source: x}}}}", "less than or equal"),
        ("figures: {}", "published: Field required"),
    ],
)
def test_an_invalid_file_of_figures_is_an_error(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        published_figures([tmp_path / "a.yaml"])


def test_rows_are_found_by_name_and_number() -> None:
    assert find_tables(["TABLE2", "tablea", "table2"]) == ["table2", "tableA"]
    found = find_rows(["table2", "tableA"], ["coop", "2-3"])
    assert {table: [number for number, _ in rows] for table, rows in found.items()} == {
        "table2": [2, 3, 6], "tableA": [2],
    }  # fmt: skip
    with pytest.raises(InputError, match="no row 'Co-Op' in table2; did you mean Co"):
        find_rows(["table2"], ["Co-Op"])
    with pytest.raises(InputError, match="no row '3-12' in table2"):
        find_rows(["table2"], ["3-12"])
    with pytest.raises(
        InputError, match="There are: middle, unified; middle, class-specific; end, unified; end"
    ):
        find_rows(["table4"], ["9"])
    with pytest.raises(InputError, match=r"There are: table1, table2, .*tableA, tableB"):
        find_tables(["table9"])


def run_folder(folder: Path, fold: int, seed: int, labels: list[int], answers: list[int]) -> Run:
    """A finished run of two classes: these answers in the best epoch, and in the last all wrong."""
    names = ["happiness", "sadness"]
    folder.mkdir()
    texts = {"name": "v1", "sha256": "00", "texts": {name: [name] for name in names}}
    (folder / "config.yaml").write_text(f"dataset: {{fingerprint: f}}\nfold: {fold}\nseed: {seed}\n")
    write_json(folder / "classes.json", names)
    write_json(folder / "texts.json", texts)
    wrong = [1 - label for label in labels]
    parts = {
        selection: Predictions(
            [str(number) for number in range(len(labels))],
            np.array(labels),
            np.eye(2, dtype=np.float32)[given],
        )
        for selection, given in (("test-best", answers), ("last", wrong))
    }
    write_predictions(folder / "predictions.parquet", names, parts)
    reproduction = {
        name: measures(part.labels, part.logits.argmax(axis=1), names).as_dict()
        for name, part in parts.items()
    }
    write_json(folder / "result.json", {"selected": "test-best", "measures": reproduction})
    return Run.open(folder)


def test_figures_are_means_over_folds_then_seeds_and_confusions_are_merged(tmp_path: Path) -> None:
    runs = [
        # Recalls of happiness and sadness, then UAR and WAR in percent:
        run_folder(tmp_path / "a", 1, 1, [0, 0, 1, 1], [0, 0, 1, 1]),  # 100 100: 100, 100
        run_folder(tmp_path / "b", 2, 1, [0, 0, 0, 1], [0, 0, 0, 0]),  # 100 0: 50, 75
        run_folder(tmp_path / "c", 1, 2, [0, 0, 1, 1], [0, 1, 1, 1]),  # 50 100: 75, 75
        run_folder(tmp_path / "d", 2, 2, [0, 0, 0, 1], [1, 1, 1, 1]),  # 0 100: 50, 25
    ]
    best = figures(runs, "test-best")
    # Seed 1: UAR 75, WAR 87.5. Seed 2: UAR 62.5, WAR 50.
    assert (best.uar.mean, best.war.mean) == (68.75, 68.75)
    assert best.uar.std == pytest.approx(12.5 / 2**0.5)
    assert best.war.std == pytest.approx(37.5 / 2**0.5)
    assert figures(runs, "last").war.mean == 0
    assert figures(runs[:2], "test-best").uar.std is None
    # happiness: 2 right, 3 right, 1 right and 1 wrong, 3 wrong; sadness: 2 right, 1 wrong, 2 right, 1 right.
    assert merged(runs).confusion.tolist() == [[6, 4], [1, 5]]


def options(packed: PackedClips, **changed: Any) -> Any:
    return {
        "dataset": packed, "preset": "demo", "clip": tiny.register(), "weights": "random", "epochs": 1,
        "folds": [1], "seeds": [1], "overrides": QUICK, "device": "cpu", **changed,
    }  # fmt: skip


def test_equal_rows_share_a_run_and_ctrl_c_keeps_finished_runs(packed: PackedClips) -> None:
    tables, names = zip(*TRAINED, strict=True)

    @contextmanager
    def stopping(stage: str) -> Iterator[Callable[..., None]]:
        def report(done: int, total: int, note: str = "") -> None:
            if stage == "training" and done == 1:
                raise KeyboardInterrupt

        yield report

    expected = [*names, "zero-shot CLIP"]
    with pytest.raises(Interrupted, match="Give the same command again to continue"):
        reproduce(*tables, rows=expected, progress=stopping, **options(packed))
    (path,) = Path("runs").glob("*/result.json")
    when = path.stat().st_mtime_ns
    result = reproduce(*tables, rows=expected, **options(packed))
    assert path.stat().st_mtime_ns == when
    by_row = {(each.table, each.name): each.runs for each in result.rows}
    assert len({by_row[each] for each in TRAINED}) == 1
    assert len(list(Path("runs").iterdir())) == 2
    assert json.loads((result.folder / "reproduction.json").read_text()) == json.loads(
        json.dumps(result.as_dict())
    )


def test_an_invalid_row_is_an_error_before_any_training(packed: PackedClips) -> None:
    wrong: list[tuple[str, Any]] = [
        ("no table is given", lambda: reproduce(**options(packed))),
        ("no file none.pth of FaRL", lambda: reproduce("table2", farl="none.pth", **options(packed))),
        (
            "no file none.yaml of published",
            lambda: reproduce("table2", published="none.yaml", **options(packed)),
        ),
        ("has no fold 7", lambda: reproduce("table1", **options(packed, folds=[7]))),
        (
            "table2, linear probe: nothing is left to train",
            lambda: reproduce("table2", rows=["1"], **options(packed, overrides=[*QUICK, "lr_head=0"])),
        ),
        (
            "table2, CoOp: --select val",
            lambda: reproduce("table2", rows=["6"], **options(packed, overrides=[*QUICK, "select=val"])),
        ),
        (
            "table1, 16 contexts: the description of",
            lambda: reproduce("table1", rows=["1", "3"], descriptions=long_set(), **options(packed)),
        ),
    ]
    for message, call in wrong:
        with pytest.raises(ValueError, match=message):
            call()
    assert not Path("runs").exists()


def long_set() -> Any:
    """Descriptions with room for 8 contexts and not for 16."""
    v1 = load("v1")
    members = {
        name: (tuple(replace(each, text=f"{each.text}{' very' * 12}") for each in listed[0]),)
        for name, listed in v1.members.items()
    }
    return replace(v1, name="long", members=members)


def test_the_example_in_the_guide_is_a_valid_file_of_figures(tmp_path: Path) -> None:
    guide = Path(__file__).parents[2] / "docs" / "reproduction.md"
    (example,) = re.findall(r"^```yaml\n(.*?)^```", guide.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "published.yaml").write_text(example)
    figures_of = published_figures([tmp_path / "published.yaml"])["table2"]["CoOp"]
    assert figures_of["dfew"].source == "our own training, 2026"
