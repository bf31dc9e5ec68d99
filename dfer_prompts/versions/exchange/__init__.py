"""Description sets to and from the files of other programs; what a file cannot hold is always said."""

from __future__ import annotations

from .formats import FORMATS, Exported, Imported, export, export_file, import_file

__all__ = ["FORMATS", "Exported", "Imported", "export", "export_file", "import_file"]
