"""Generated data: drawn faces and the demo CLIP that was trained on them."""
