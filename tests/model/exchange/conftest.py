"""Clips, and a function that trains runs on them with given settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dfer_model.data.packed import PackedClips
from dfer_model.runs import Run
from dfer_model.training.loop import train_run

from .. import tiny


@pytest.fixture(scope="session")
def packed(tmp_path_factory: pytest.TempPathFactory) -> PackedClips:
    return tiny.pack(tmp_path_factory.mktemp("clips") / "packed")


@pytest.fixture(scope="session")
def trained(packed: PackedClips, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    """Trains a run with the settings given; epochs=0 where only the shape of its model matters."""
    runs = tmp_path_factory.mktemp("runs")

    def train(**changed: Any) -> Run:
        return train_run(tiny.spec(packed, **changed), packed, runs, device="cpu")

    return train
