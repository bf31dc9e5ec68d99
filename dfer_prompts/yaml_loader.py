"""The bounded YAML loader of both packages, which is written in `dfer_model.yaml_loader`."""

from dfer_model.yaml_loader import LOADER, YAML_ERRORS, load_yaml, yaml_problem

__all__ = ["LOADER", "YAML_ERRORS", "load_yaml", "yaml_problem"]
