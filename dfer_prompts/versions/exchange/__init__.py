"""Import and export of description sets in formats of other programs; every loss is reported."""

from __future__ import annotations

from .formats import FORMATS, Exported, Imported, export, export_file, import_file

__all__ = ["FORMATS", "Exported", "Imported", "export", "export_file", "import_file"]
