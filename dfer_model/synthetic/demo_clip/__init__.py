"""The demo CLIP: its weights, and the program that trains them on drawn faces (see README.md)."""
