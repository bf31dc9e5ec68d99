"""`python -m dfer_prompts` is `dfer-prompts`."""

from .cli import main

main()
