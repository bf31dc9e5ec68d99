"""CLIP, clips and training for DFER-CLIP. It is given class texts and knows nothing of where they come from."""
