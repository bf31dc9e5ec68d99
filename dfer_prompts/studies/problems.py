"""What goes wrong in a study and is for a person to put right, of both packages, and how it is said."""

from __future__ import annotations

from ..asking.redaction import redact_environment
from ..errors import DferError, system_words

PROBLEMS = (DferError, OSError)


def sentence(error: Exception) -> str:
    """The error as it was written for a person, without keys; the operating system's with its file."""
    if isinstance(error, OSError) and not isinstance(error, DferError):
        return redact_environment(system_words(error))
    return redact_environment(str(error))
