"""Rows of the paper's tables, trained on your clips, beside the published figures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dfer_model.progress import Progress, silence

from ...description_set import DescriptionSet
from ...errors import InputError, Interrupted, system_errors
from ...versions.store import DescriptionStore
from ...workspace import Workspace
from ..inputs import (
    Choices,
    cluster_notes,
    each_once,
    folds_to_test,
    open_dataset,
    settings_for,
    training_notes,
)
from ..launchers import EngineName, RunContext, engine_for
from .paper_tables import OWN_FILE, Figures, find_rows, find_tables, paper, published_figures
from .plan import Planned, Study, check, plan
from .results import Reproduced, caveats, command_words, keep, protocol_line, row_result

if TYPE_CHECKING:
    from dfer_model.data.packed import PackedClips
    from dfer_model.runs import Run, RunSpec

__all__ = ["Reproduced", "reproduce"]


@system_errors()
def reproduce(
    *tables: str,
    dataset: PackedClips | Path | str | None = None,
    rows: Sequence[str] = (),
    descriptions: DescriptionSet | str = "v1",
    second: DescriptionSet | str | None = None,
    farl: Path | str | None = None,
    published: Path | str | None = None,
    folds: Iterable[int] | None = None,
    seeds: Iterable[int] = (1, 2, 3),
    preset: str = "paper",
    clip: str | None = None,
    weights: str | None = None,
    epochs: int | None = None,
    overrides: Sequence[str] = (),
    workspace: Workspace | None = None,
    device: str = "auto",
    engine: EngineName | None = None,
    jobs: int | None = None,
    runs_per_gpu: int | None = None,
    retries: int | None = None,
    out: Path | str | None = None,
    progress: Progress = silence,
    note: Callable[[str], None] = lambda _: None,
    track: Sequence[str] | None = ("none",),
) -> Reproduced:
    """Train the rows of the paper's tables ("table1" to "table5", "tableA", "tableB") beside its figures.

    `rows` are names or numbers of rows, by default all. `dataset` is packed clips, their folder or their name
    in `dfer.yaml`; `folds` are the test folds, by default all. `descriptions` is the set of the rows with
    descriptors, `second` the one that Table A adds, `farl` a file of FaRL's weights; a row without its inputs
    is skipped with a note. `published` is a YAML file of figures that replace the shipped ones, as does
    published.yaml of the workspace. A row's settings override the preset, `clip`, `weights` and `epochs`;
    `overrides` (the values of `--set`) override all. A row without randomness uses the first seed only. Equal
    rows are one run; runs are stored in the workspace and reused by the next call. `engine` "local" or
    "slurm" trains each in its own process (see `engine_for`); `note` receives messages such as restarts of
    runs. `track` names the trackers of each run, as in `train`. The result is stored in `out`, by default
    reproductions/<id>/ of the workspace. Raises InputError before training, and Interrupted on Ctrl-C: the
    same call continues from there.
    """
    from dfer_model.training.loggers import chosen_trackers

    place = workspace or Workspace.find()
    context = RunContext(place, device, progress, note, chosen_trackers(track))
    chosen_rows = find_rows(find_tables(_any(tables)), rows)
    known = published_figures(_figure_files(place, published))
    clips = open_dataset(place, dataset)
    chosen: Choices = {"preset": preset, "clip": clip, "weights": weights, "epochs": epochs}
    chosen["overrides"] = overrides
    study = Study(
        workspace=place,
        clips=clips,
        folds=folds_to_test(clips, folds),
        seeds=each_once(seeds, "seed"),
        descriptions=_loaded(descriptions, place),
        second=_loaded(second, place) if second is not None else None,
        farl=_file(farl) if farl is not None else None,
        chosen=chosen,
        device=None if engine == "slurm" else device,
    )
    planned = [plan(study, table, *each) for table, listed in chosen_rows.items() for each in listed]
    for each in _notes(study, preset, engine):
        note(each)
    context = replace(context, engine=engine_for(place, engine, jobs, runs_per_gpu, retries, device))
    runs = _run(planned, study, context)
    files = {"--farl": farl, "--published": published, "--out": out}
    command = command_words(list(chosen_rows), rows, study, files)
    result = _result(planned, runs, known, study, command, out)
    keep(result, runs)
    return result


def _notes(study: Study, preset: str, engine: EngineName | None) -> tuple[str, ...]:
    """Messages on the training of all rows."""
    place, clips, chosen = study.workspace, study.clips, study.chosen
    settings = settings_for(place, clips.name, chosen, device=study.device)
    notes = training_notes(place, clips, settings, preset, study.folds)
    return (*notes, *cluster_notes(place, chosen, engine))


def _result(
    planned: Sequence[Planned],
    runs: Mapping[tuple[str, int], Sequence[Run]],
    known: Figures,
    study: Study,
    command: tuple[str, ...],
    out: Path | str | None,
) -> Reproduced:
    """The results of the rows beside the published figures."""
    clips = study.clips
    name = clips.name.casefold()
    tables = dict.fromkeys(each.table for each in planned)
    results = tuple(
        row_result(
            each, runs[each.table, each.number], known.get(each.table, {}).get(each.row.name, {}).get(name)
        )
        for each in planned
    )
    ids = "\n".join(
        [*(f"{each.table} {each.number}" for each in planned), *(i for r in results for i in r.runs)]
    )
    return Reproduced(
        folder=_folder(study.workspace, out, ids),
        dataset=clips.name,
        class_names=clips.class_names,
        folds=study.folds,
        seeds=study.seeds,
        titles={table: paper().tables[table].title for table in tables},
        assumed={table: paper().tables[table].assumed for table in tables},
        rows=results,
        protocol=protocol_line(results, study.folds, study.seeds),
        caveats=tuple(caveats(paper(), clips.name, clips.fold_names(), study.folds, study.seeds)),
        command=command,
    )


def _any(tables: Sequence[str]) -> Sequence[str]:
    if not tables:
        raise InputError(f"no table is given\nThere are: {', '.join(paper().tables)}")
    return tables


def _figure_files(workspace: Workspace, given: Path | str | None) -> list[Path]:
    own = workspace.root / OWN_FILE
    return [*([own] if own.is_file() else []), *([Path(given)] if given is not None else [])]


def _loaded(given: DescriptionSet | str, workspace: Workspace) -> DescriptionSet:
    return DescriptionStore(workspace).load(given) if isinstance(given, str) else given


def _file(given: Path | str) -> Path:
    path = Path(given).expanduser().resolve()
    if not path.is_file():
        raise InputError(f"no file {given} of FaRL's weights")
    return path


def _folder(workspace: Workspace, out: Path | str | None, ids: str) -> Path:
    if out is not None:
        return workspace.root / Path(out).expanduser()
    return workspace.root / "reproductions" / hashlib.sha256(ids.encode()).hexdigest()[:12]


def _run(planned: Sequence[Planned], study: Study, context: RunContext) -> dict[tuple[str, int], list[Run]]:
    """The runs of each row, by table and number, each trained once, ordered by fold and seed."""
    from dfer_model.comparison.grid import train_all

    with context.progress("checking") as report:
        check(planned, study.clips, study.workspace.runs, report)
    needed: dict[str, tuple[RunSpec, str]] = {}
    for each in planned:
        for spec in each.specs:
            needed.setdefault(spec.definition, (spec, each.title))
    ordered = sorted(
        needed.values(), key=lambda each: (study.folds.index(each[0].fold), study.seeds.index(each[0].seed))
    )
    specs = [spec for spec, _ in ordered]
    names = [f"{title}: {spec.title}" for spec, title in ordered]
    try:
        with context.progress("training") as report:
            done = train_all(
                specs,
                study.clips,
                study.workspace.runs,
                report,
                context.device,
                names,
                context.engine,
                context.note,
                context.trackers,
            )
    except (KeyboardInterrupt, Interrupted) as error:
        raise Interrupted(
            "Stopped; finished runs and the last epoch of the current one are in "
            f"{study.workspace.runs}\nGive the same command again to continue"
        ) from error
    runs = {spec.definition: run for spec, run in zip(specs, done, strict=True)}
    return {(each.table, each.number): [runs[spec.definition] for spec in each.specs] for each in planned}
