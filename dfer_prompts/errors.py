"""The error hierarchy of both packages; see `dfer_model.errors`, where it is defined without torch."""

from dfer_model.errors import (
    BusyError,
    DferError,
    DiskError,
    FileError,
    InputError,
    Interrupted,
    LostError,
    NoFace,
    OutOfMemory,
    WorkError,
    did_you_mean,
    listed,
    system_errors,
    system_words,
    unknown,
)

__all__ = [
    "BusyError",
    "DferError",
    "DiskError",
    "FileError",
    "InputError",
    "Interrupted",
    "LostError",
    "NoFace",
    "OutOfMemory",
    "WorkError",
    "did_you_mean",
    "listed",
    "system_errors",
    "system_words",
    "unknown",
]
