"""The fields of a run's files, which another person may have written, checked before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import InputError

_Mean = Annotated[float, Field(ge=-10, le=10)]
_Deviation = Annotated[float, Field(gt=0, le=10)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]


_Model = TypeVar("_Model", bound=BaseModel)


class _Checked(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class Images(_Checked):
    """The images that a run's model takes."""

    image_size: int = Field(strict=True, ge=1, le=1024)  # pixels, both sides
    mean: tuple[_Mean, _Mean, _Mean]  # of pixels in 0..1, per channel
    std: tuple[_Deviation, _Deviation, _Deviation]


class DatasetPart(_Checked):
    """One of several datasets that a run was trained on together."""

    name: str  # distinct among the datasets of the run
    path: str
    fingerprint: str
    classes: dict[str, str]  # class name of the dataset -> that of the run; other classes are left out


class _Dataset(_Checked):
    fingerprint: str
    parts: tuple[DatasetPart, ...] = ()  # of a run on several datasets


class _Config(_Checked):
    fold: _Integer
    seed: _Integer
    dataset: _Dataset


class _Texts(_Checked):
    name: str
    sha256: str
    texts: dict[str, tuple[str, ...]]  # a strategy that reads no texts stores none


class _Classes(_Checked):
    names: Annotated[tuple[_Name, ...], Field(min_length=1)]


def dataset_parts(config: Mapping[str, Any]) -> tuple[DatasetPart, ...]:
    """The datasets of a run on several, by its checked config; () for a run on one."""
    return tuple(DatasetPart.model_validate(each) for each in config["dataset"].get("parts") or ())


def images_in(config: Mapping[str, Any], where: Path) -> Images:
    """What a run's config says of the images that its model takes. Raises InputError."""
    if not isinstance(config.get("clip"), dict):
        raise InputError(f"{where} does not say what images its CLIP takes: it has no clip")
    try:
        return Images.model_validate(config["clip"])
    except ValidationError as error:
        raise InputError(
            f"{where} does not say what images its CLIP takes: {_first(error, 'clip')}"
        ) from None


def check_config(config: Mapping[str, Any], path: Path) -> None:
    """Raises InputError where fold, seed or dataset are missing or not right."""
    _validated(_Config, config, path)


def checked_texts(names: Any, texts: Any, folder: Path) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """The class names and, by class, its texts, from classes.json and texts.json of a run's folder.

    Raises InputError for a duplicate name, a class that texts.json lacks, or a value that is not a text.
    """
    class_names = _validated(_Classes, {"names": names}, folder / "classes.json").names
    by_class = _validated(_Texts, texts, folder / "texts.json").texts
    if len(set(class_names)) < len(class_names):
        raise InputError(f"{folder / 'classes.json'} is damaged: a class is there twice")
    missing = [name for name in class_names if name not in by_class]
    if missing:
        raise InputError(f"{folder / 'texts.json'} is damaged: it has no texts of {missing[0]!r}")
    return class_names, {name: by_class[name] for name in class_names}


def _validated(model: type[_Model], value: Any, path: Path) -> _Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InputError(f"{path} is damaged: {_first(error, '')}") from None


def _first(error: ValidationError, within: str) -> str:
    """The first complaint of pydantic: `clip.std.0: input should be greater than 0`."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, (within, *first["loc"]) if within else first["loc"]))
    says = first["msg"][0].lower() + first["msg"][1:]
    return f"{place}: {says}" if place else says
