"""Sources of descriptors that ask no language model: FACS, sentences, controls."""
