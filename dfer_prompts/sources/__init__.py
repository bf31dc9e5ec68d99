"""Where descriptors come from: a language model, FACS action units, or a control made from another set."""
