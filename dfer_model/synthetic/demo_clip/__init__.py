"""The demo CLIP: its weights, and the program that trained them on drawn faces (see README.md)."""
