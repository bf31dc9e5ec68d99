"""CLIP, clips and training for DFER-CLIP. It is given class texts and never asks where they come from."""
