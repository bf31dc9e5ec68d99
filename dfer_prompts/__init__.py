"""Description sets for DFER-CLIP: generate, parse, rank, version, train and compare.

`__init__.pyi` lists the public names. Each is imported on first use; importing the package never imports
torch.

>>> import dfer_prompts
>>> dfer_prompts.load("v1@2").description("happiness")
'a smiling mouth and raised cheeks.'

`dfer_prompts.ensembles` combines several sets: `members` and `vote`.
"""

from lazy_loader import attach_stub

__version__ = "0.1.0"

__getattr__, _, __all__ = attach_stub(__name__, __file__)
__all__ = ["__version__", *__all__]


def __dir__() -> list[str]:
    return sorted(__all__)
