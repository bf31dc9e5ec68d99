"""The web page of `dfer-prompts serve`: a user interface only; the work is done by the other packages."""
