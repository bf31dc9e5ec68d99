"""Sources of descriptors without a language model: FACS, sentences, controls."""
