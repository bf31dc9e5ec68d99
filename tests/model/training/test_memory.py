"""The estimate of training memory against a real step, and the messages about it."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dfer_model.config import Settings
from dfer_model.data import shared_memory
from dfer_model.data.packed import PackedClips
from dfer_model.data.shared_memory import shared_memory_note
from dfer_model.devices import precision
from dfer_model.errors import InputError, OutOfMemory, WorkError
from dfer_model.memory import Memory, machine_memory
from dfer_model.models.strategies import load_base
from dfer_model.training.loop import train_run
from dfer_model.training.memory_need import Need, lower_memory, peak_bytes, state_need, training_need

from .. import tiny

CPU = torch.device("cpu")
GIB = 2**30


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


def saved_bytes(model: torch.nn.Module, frames: torch.Tensor, name: str) -> int:
    """Bytes that a real forward pass keeps for the gradient, without the model's own tensors."""
    own = {value.untyped_storage().data_ptr() for value in [*model.parameters(), *model.buffers()]}
    saved: dict[int, int] = {}
    held = []

    def keep(value: torch.Tensor) -> torch.Tensor:
        held.append(value)
        saved[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        return value

    with precision(name, CPU), torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        model(frames)
    return sum(size for place, size in saved.items() if place not in own)


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_the_estimate_per_clip_is_that_of_a_real_pass(name: str) -> None:
    settings = tiny.settings(precision=name, frames=8, clip=tiny.register(layers=1))
    model = load_base(settings).build(tiny.TEXTS.texts, tiny.CLASSES)
    two, four = (saved_bytes(model, torch.rand(clips, 8, 3, 32, 32), name) for clips in (2, 4))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    need = training_need(model, settings, 32, 4, CPU, workers=0)
    frames = 8 * 3 * 32 * 32
    # Beside what is kept, gradients of the largest values are alive for a moment.
    assert (four - two) / 2 <= need.per_clip <= 1.5 * (four - two) / 2
    assert need.total >= four + frames
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_accumulation_and_checkpointing_lower_the_estimate() -> None:
    def need(**changed: Any) -> Need:
        settings = tiny.settings(**changed, frames=8, optimizer="adamw")
        model = load_base(settings).build(tiny.TEXTS.texts, tiny.CLASSES)
        return training_need(model, settings, 32, 8, CPU, workers=0)

    usual = need()
    parts = need(accumulate=4)
    assert (parts.clips, parts.per_clip) == (2, usual.per_clip)
    again = need(gradient_checkpointing=True)
    assert again.per_clip < 0.8 * usual.per_clip


def test_measuring_the_peak_does_not_change_batchnorm() -> None:
    settings = tiny.settings(classifier="r3d-18", weights="random", contexts=0, temporal_depth=0)
    model = load_base(settings).build([[""]] * 3, tiny.CLASSES)
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    gradients = sum(value.nbytes for value in model.parameters())
    assert peak_bytes(model, settings, 32, 2, CPU) > gradients
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.docs  # ten seconds
@pytest.mark.usefixtures("bf16_processor")
def test_the_default_recipe_fits_a_gpu_of_24_gb_in_bf16_and_not_in_fp32() -> None:
    """ViT-B/32, 48 clips of 16 frames; on a CPU, whose attention is in float32 and needs more."""

    def bytes_of(name: str) -> int:
        settings = Settings(weights="random", precision=name)
        return training_need(model, settings, 224, settings.batch_size, CPU, workers=0).total

    model = load_base(Settings(weights="random")).build(tiny.TEXTS.texts, tiny.CLASSES)
    model.train()
    assert bytes_of("bf16") < 0.9 * 24e9 < bytes_of("fp32")


@pytest.mark.usefixtures("bf16_processor")
@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (Memory(9 * GIB, 16 * GIB), "; 9.0 GiB are free"),
        # 48 clips of 0.125 GiB beside 1: in 4 GiB 0.9 * 4 - 1 leaves room for 20, which are 3 parts.
        (Memory(4 * GIB, 16 * GIB), "; only 4.0 GiB are free. To lower it: --set accumulate=3, --set grad"),
        (None, "for the 48 clips of a pass"),
    ],
)
def test_the_message_about_the_memory_need(memory: Memory | None, message: str) -> None:
    settings = tiny.settings(batch_size=48)
    model = load_base(settings).build(tiny.TEXTS.texts, tiny.CLASSES)
    words = state_need(Need(GIB, GIB // 8, 48), memory, model, settings, CPU)
    assert words.startswith(
        "training takes about 7.0 GiB of memory on the CPU beside the model, 6.0 GiB of it"
    )
    assert message in words
    assert ("precision=bf16" in words) == ("only" in words)


def test_too_little_memory_is_an_error() -> None:
    settings = tiny.settings(batch_size=48, gradient_checkpointing=True, precision="bf16")
    model = load_base(settings).build(tiny.TEXTS.texts, tiny.CLASSES)
    with pytest.raises(InputError, match=r"7\.0 GiB.*there are 4\.0 GiB in all\n") as caught:
        state_need(Need(GIB, GIB // 8, 48), Memory(4 * GIB, 4 * GIB), model, settings, CPU)
    lower = str(caught.value).splitlines()[1]
    assert lower.startswith("To lower it: --set accumulate=3, a smaller --set batch_size")


def test_the_need_is_reported_before_the_first_step(clips: PackedClips, tmp_path: Path) -> None:
    messages: list[str] = []
    spec = tiny.spec(clips, epochs=1)
    train_run(
        spec,
        clips,
        tmp_path,
        device="cpu",
        note=messages.append,
        report=lambda *what: messages.append(what[-1]),
    )
    need, first = (
        next(number for number, line in enumerate(messages) if words in line)
        for words in ("training takes about", "epoch 1, step 1")
    )
    assert need < first
    assert "are free" in messages[need]


@pytest.mark.usefixtures("avx2_processor")
def test_bf16_is_not_advised_on_a_processor_without_it() -> None:
    settings = tiny.settings(batch_size=48)
    model = load_base(settings).build(tiny.TEXTS.texts, tiny.CLASSES)
    assert "gradient_checkpointing" in lower_memory(model, settings, CPU)
    assert "bf16" not in lower_memory(model, settings, CPU)


@pytest.mark.usefixtures("bf16_processor")
def test_out_of_memory_is_an_error_with_the_saved_epochs(clips: PackedClips, tmp_path: Path) -> None:
    spec = tiny.spec(clips, epochs=3)

    def hungry(_done: float, _epochs: int, note: str) -> None:
        if note.startswith("epoch 2, step 1 "):
            torch.empty(10**15, dtype=torch.uint8)

    with pytest.raises(OutOfMemory) as caught:
        train_run(spec, clips, tmp_path, device="cpu", report=hungry)
    first, second = str(caught.value).splitlines()
    assert first == f"memory ran out on cpu; 1 of 3 epochs are saved in {spec.folder(tmp_path)}"
    for way in (
        "--set accumulate=2",
        "--set gradient_checkpointing=true",
        "--set precision=bf16",
        "batch_size",
    ):
        assert way in second
    again = train_run(tiny.spec(clips, epochs=3, accumulate=2), clips, tmp_path, device="cpu")
    assert again.folder == spec.folder(tmp_path)


# The memory of the machine


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\n"


def test_free_memory_is_that_of_the_smallest_control_group(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain", proc__meminfo=MEMINFO)
    assert machine_memory(plain) == (8 * GIB, 16 * GIB)
    second = write(
        tmp_path / "v2",
        proc__meminfo=MEMINFO,
        proc__self__cgroup="0::/slurm/job_1/step_0\n",
    )
    group = second / "sys/fs/cgroup/slurm/job_1"
    (group / "step_0").mkdir(parents=True)
    (group / "memory.max").write_text(f"{4 * GIB}\n")
    (group / "step_0/memory.max").write_text("max\n")
    (group / "memory.current").write_text(f"{3 * GIB}\n")
    (group / "memory.stat").write_text(f"anon {2 * GIB}\ninactive_file {GIB}\n")
    (group / "step_0/memory.current").write_text("1\n")
    assert machine_memory(second) == (2 * GIB, 4 * GIB)  # a GiB of file pages can be dropped
    first = write(
        tmp_path / "v1", proc__meminfo=MEMINFO, proc__self__cgroup="9:cpu,memory:/docker/a\n3:pids:/\n"
    )
    group = first / "sys/fs/cgroup/memory"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text(f"{2 * GIB}\n")
    (group / "memory.usage_in_bytes").write_text(f"{GIB}\n")
    (group / "memory.stat").write_text("total_inactive_file 0\n")
    assert machine_memory(first) == (GIB, 2 * GIB)


# Shared memory


def test_a_small_dev_shm_is_reported_before_the_start(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    assert shared_memory_note(10**6, 0, tmp_path) == ""
    assert shared_memory_note(10**3, 4, tmp_path) == ""
    assert shared_memory_note(10**30, 4, tmp_path / "none") == ""
    with pytest.raises(InputError, match=r"GiB free, and a batch takes .*\n.*--shm-size.*workers=0"):
        shared_memory_note(10**18, 4, tmp_path)
    some = shared_memory_note(free // 8, 16, tmp_path)
    assert "the batches of 16 workers may take" in some
    assert "--set workers=3 fits" in some


@pytest.mark.skipif(not shared_memory.SHARED.is_dir(), reason="no /dev/shm")
def test_exhausted_shared_memory_is_an_error(clips: PackedClips, tmp_path: Path) -> None:
    """Files of a worker, including those in /dev/shm, cannot grow beyond a few bytes."""
    import resource

    from torch.utils.data import get_worker_info

    class Small(PackedClips):
        def encoded_frames(self, index: int, indices: Any) -> list[bytes]:
            if get_worker_info() is not None:
                _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
                resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
            return super().encoded_frames(index, indices)

    spec = tiny.spec(clips, epochs=1, workers=1)
    with pytest.raises(WorkError, match=r"/dev/shm is too small .*\n.*--shm-size"):
        train_run(spec, Small.open(clips.path), tmp_path, device="cpu")


def test_a_job_out_of_memory_is_retried_only_if_runs_share_a_gpu(
    clips: PackedClips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dfer_model.launchers.job import Attempts, Work
    from dfer_model.training import loop as training

    def hungry(*_: Any, **__: Any) -> None:
        raise OutOfMemory("memory ran out on cpu")

    monkeypatch.setattr(training, "train_run", hungry)
    spec = tiny.spec(clips)
    for shared, status in ((False, "failed"), (True, "lost")):
        attempts = Attempts(tmp_path / f"{shared}.jsonl")
        work = Work((spec,), (attempts,), tmp_path / "runs", "cpu", retries=2, shared=shared)
        assert work.train(spec, attempts) == (status, "memory ran out on cpu")


def test_a_job_that_slurm_ended_for_its_memory_is_not_retried(clips: PackedClips, tmp_path: Path) -> None:
    from dfer_model.launchers.dispatch import train_by

    submitted: list[int] = []

    class Cluster:
        """An engine whose jobs the cluster ends at once."""

        folder, retries, device, poll_s, pause_s, runs_per_job = tmp_path / "jobs", 2, "cpu", 0.0, 0.0, 1

        def room(self, at_work: int) -> int:
            return 1 - at_work

        def submit(self, works: Any, folder: Path) -> Any:
            for _ in works:
                submitted.append(1)
                paths = SimpleNamespace(result_pickle=folder / "none.pkl")
                task = SimpleNamespace(paths=paths, stderr=lambda: "")
                job = SimpleNamespace(job_id="7", task=lambda _number, task=task: task)
                yield _Hashable(job)

        def over(self, jobs: Any) -> dict[str, str]:
            return {job.job_id: "OUT_OF_MEMORY" for job in jobs}

        def cancel(self, jobs: Any) -> None:
            pass

    notes: list[str] = []
    engine: Any = Cluster()
    with pytest.raises(
        WorkError, match=r"1 of 1 runs were not trained: one \(OUT_OF_MEMORY: give its jobs more"
    ):
        train_by(engine, [tiny.spec(clips)], ["one"], tmp_path / "runs", lambda *_: None, notes.append)
    assert submitted == [1]
    assert [note.startswith("one failed: OUT_OF_MEMORY") for note in notes] == [True]


class _Hashable:
    """A job, by its identity."""

    def __init__(self, job: SimpleNamespace) -> None:
        self.job_id, self.task = job.job_id, job.task
