"""What answers: CLIP with class texts and learnable contexts, and what it is compared with."""
