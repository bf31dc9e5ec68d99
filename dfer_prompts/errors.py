"""The error hierarchy of both packages, defined without torch in `dfer_model.errors`."""

from dfer_model.errors import (
    BusyError,
    DeviceWarning,
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
    "DeviceWarning",
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
