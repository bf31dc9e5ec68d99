"""Description sets for DFER-CLIP: asked, parsed, ranked, versioned. Importing this never imports torch."""

__version__ = "0.1.0"
