"""What each model costs: parameters, FLOPs per clip, and the latency if it was measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dfer_model.progress import Progress

from ...errors import InputError, WorkError, listed
from .render import Block, Cell, Content, Section, Table, cells, for_paper, points
from .stored import RECORD, REPRODUCTION, Stored
from .stored_reproduction import StoredReproduction, run_places

if TYPE_CHECKING:
    from dfer_model.evaluation.cost_record import Cost, Latency

Models = Mapping[str, tuple[Path, ...]]  # by name, the folders of runs

BEFORE = ("learning", "repeat")  # the section that the costs are placed before: the first of these
UNTRAINED = ("zero-shot", "screened")  # measures whose models no run stores
CSV_HEADS = ("trained parameters", "parameters", "FLOPs per clip", "latency in ms")
ENCODED_ONCE = "Class texts are encoded once, not for each clip, and are not included."
COUNTED = (
    "FLOPs are those of a forward pass for one clip: matrix products, convolutions and attention, with 2 "
    "FLOPs per multiply-add."
)
NO_RUNS = "the runs no longer exist"
NOT_RECORDED = "they are not recorded; report --latency counts them"


@dataclass(frozen=True)
class MethodCost:
    """The cost of a run, or of the runs of a description set. `problem` says why figures are missing."""

    name: str
    cost: Cost | None
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """An entry of `costs` in `report --json`."""
        return {
            "name": self.name,
            "cost": None if self.cost is None else self.cost.as_dict(),
            "problem": self.problem or None,
        }


def method_costs(models: Models, problems: Mapping[Path, str]) -> tuple[MethodCost, ...]:
    """The stored costs of `costed_models`; `problems` are those of `measure_costs`."""
    return tuple(_method_cost(name, runs, problems) for name, runs in models.items())


def _method_cost(name: str, runs: Sequence[Path], problems: Mapping[Path, str]) -> MethodCost:
    from dfer_model.evaluation.cost_record import read_cost, together

    costs = [read_cost(each) for each in runs]
    problem = next((problems[each] for each in runs if each in problems), "")
    known = [each for each in costs if each is not None]
    if not runs or any(not (each / "config.yaml").is_file() for each in runs):
        return MethodCost(name, None, problem or NO_RUNS)
    if len(known) < len(costs):
        return MethodCost(name, None, problem or NOT_RECORDED)
    return MethodCost(name, together(known), problem)


def costed_models(folder: Path, runs: Path) -> Models:
    """A run, or by name the runs whose costs are those of each method of a comparison or reproduction.

    They are all runs of a compared ensemble, and one run of a description set or of a row, whose runs have
    equal models. `runs` is the folder of the workspace's runs.
    """
    if (folder / REPRODUCTION).is_file():
        rows = [each for each in StoredReproduction.read(folder).rows if each.runs]
        places = run_places(folder, runs)
        return {each.name: _existing(place / run for run in each.runs for place in places) for each in rows}
    if not (folder / RECORD).is_file():
        return {folder.name: (folder,)}
    of = Stored.open(folder)
    found = {
        each.run: tuple(Path(each.folder).parent / name for name in each.run.split("+"))
        for each in of.record.models
    }
    for name in dict.fromkeys(each.name for each in of.trained):
        found[name] = _existing(of.runs / each.run for each in of.trained if each.name == name)
    return {name: found[name] for name in of.names if name in found}


def _existing(folders: Iterable[Path]) -> tuple[Path, ...]:
    """The first run that exists; empty if none does."""
    return tuple(each for each in folders if (each / "config.yaml").is_file())[:1]


def measure_costs(models: Models, device: str, progress: Progress) -> dict[Path, str]:
    """Measure the latency of each run, and count what is not recorded; both are stored with the runs.

    Models with equal parameters, FLOPs and precision are measured once. Returns why figures of a run are
    missing. Raises InputError for a device that does not exist.
    """
    from dfer_model.devices import choose_device
    from dfer_model.evaluation.cost import run_cost, run_latency
    from dfer_model.evaluation.cost_record import read_cost, write_cost
    from dfer_model.runs import Run

    choose_device(device)
    runs = list(dict.fromkeys(each for runs in models.values() for each in runs))
    problems: dict[Path, str] = {}
    measured: dict[Any, Latency] = {}
    with progress("latency") as report:
        for done, each in enumerate(runs):
            report(done, len(runs), each.name)
            try:
                run = Run.open(each)
                cost = read_cost(each)
                if cost is None:
                    cost = run_cost(run)
                    write_cost(each, cost)
                settings, cost = run.settings, replace(cost, latency=None)
                key = cost, settings.classifier, settings.clip, settings.precision, settings.tf32
                if key not in measured:
                    measured[key] = run_latency(run, device)
                write_cost(each, replace(cost, latency=measured[key]))
            except (InputError, WorkError) as error:
                problems[each] = str(error).splitlines()[0]
        report(len(runs), len(runs))
    return problems


def with_costs(of: Content, costs: Sequence[MethodCost], column: str) -> Content:
    """The report with a section, a table for a paper and CSV columns on the costs.

    `column` is what the costs are of: "run", "set" or "row".
    """
    known = [each.cost for each in costs if each.cost is not None]
    table = _table(costs, column)
    blocks: list[Block] = [*([table] if known else []), *([points(list(_notes(costs)))] if costs else [])]
    section = Section("cost", "Cost", tuple(blocks))
    return replace(
        of.with_section(section, BEFORE),
        paper=(*of.paper, *(for_paper((table,)) if known else ())),
        by_fold=_csv(of.by_fold, costs, column),
    )


def _table(costs: Sequence[MethodCost], column: str) -> Table:
    latencies = [each.cost.latency for each in costs if each.cost is not None and each.cost.latency]
    places = {_place(each) for each in latencies}
    rows = []
    for each in costs:
        row = [Cell(each.name), *(Cell(text) for text in _figures(each.cost))]
        if latencies:
            latency = each.cost.latency if each.cost is not None else None
            shown = "–" if latency is None else _decimal(latency.median_ms)
            row.append(Cell(shown, _place(latency) if latency is not None and len(places) > 1 else ""))
        rows.append(cells(*row))
    heads = [column, "trained (M)", "parameters (M)", "GFLOPs", *(["latency (ms)"] if latencies else [])]
    per_clip = "GFLOPs and latency per clip" if latencies else "GFLOPs per clip"
    where = f", on {places.pop()}" if len(places) == 1 else ""
    title = f"Trained and all parameters in millions, {per_clip}{where}"
    return Table("cost", title, tuple(heads), tuple(rows))


def _figures(cost: Cost | None) -> tuple[str, str, str]:
    if cost is None:
        return "–", "–", "–"
    trained, total = cost.trained_parameters / 1e6, cost.parameters / 1e6
    return _decimal(trained), _decimal(total), _decimal(cost.flops_per_clip / 1e9)


def _decimal(value: float) -> str:
    """Two decimals, or three significant digits below 1."""
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def _place(of: Latency) -> str:
    threads = f"{of.threads} CPU thread{'s' if of.threads > 1 else ''}"
    return f"{of.device}, {threads}, {of.precision}"


def _notes(costs: Sequence[MethodCost]) -> Iterator[str]:
    known = [each.cost for each in costs if each.cost is not None]
    if known:
        yield f"{COUNTED} {_clips(known)}"
        including = [each.name for each in costs if each.cost is not None and each.cost.texts_included]
        if len(including) < len(known):
            yield ENCODED_ONCE
        if including:
            yield f"{listed(including)}: class texts depend on the clip, so encoding them is included."
    latencies = [each.latency for each in known if each.latency is not None]
    if latencies:
        passes = sorted({each.passes for each in latencies})
        count = str(passes[0]) if len(passes) == 1 else f"{passes[0]} to {passes[-1]}"
        yield (
            f"Latency: median of {count} forward passes of one clip after warm-up, with decoded frames and "
            "encoded class texts."
        )
    elif known:
        yield "The latency was not measured; report --latency measures it."
    yield from _problems(costs)


def _clips(known: Sequence[Cost]) -> str:
    """What a clip is: "A clip is 16 frames of 224 x 224 pixels." """
    messages = []
    for each in known:
        views = f"{each.views} views of " if each.views > 1 else ""
        messages.append(f"{views}{each.frames} frames of {each.image_size} x {each.image_size} pixels")
    return f"A clip is {' or '.join(dict.fromkeys(messages))}."


def _problems(costs: Sequence[MethodCost]) -> Iterator[str]:
    """A sentence for each reason for which figures are missing."""
    by_problem: dict[tuple[str, str], list[str]] = {}
    for each in costs:
        if each.problem:
            what = "Parameters and FLOPs of {} are unknown" if each.cost is None else "No latency of {}"
            by_problem.setdefault((what, each.problem), []).append(each.name)
    for (what, problem), names in by_problem.items():
        yield f"{what.format(listed(names))}: {problem}."


def _csv(
    rows: tuple[tuple[str, ...], ...], costs: Sequence[MethodCost], column: str
) -> tuple[tuple[str, ...], ...]:
    """The rows of the CSV file with the columns of costs; a run has one cost on all its rows."""
    if not rows:
        return rows
    header, *others = rows
    nothing = _plain(None)
    if column == "run":
        texts = [_plain(costs[0].cost)] * len(others)
    else:
        found = {each.name: _plain(each.cost) for each in costs}
        name = header.index(column)
        texts = [nothing if row[0] in UNTRAINED else found.get(row[name], nothing) for row in others]
    return ((*header, *CSV_HEADS), *((*row, *each) for row, each in zip(others, texts, strict=True)))


def _plain(cost: Cost | None) -> tuple[str, ...]:
    if cost is None:
        return ("",) * len(CSV_HEADS)
    latency = "" if cost.latency is None else f"{cost.latency.median_ms:.3f}"
    return str(cost.trained_parameters), str(cost.parameters), str(cost.flops_per_clip), latency
