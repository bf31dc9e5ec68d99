"""The page of `dfer-prompts serve`: what the commands do, in a browser. All work is done by the rest."""
