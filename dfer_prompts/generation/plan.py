"""The plan of a generation: classes, template, model, sampling parameters, and the requests they give."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..classes import ClassSet, class_set_names, load_class_set
from ..errors import InputError
from ..llm.endpoint import TIMEOUT_S, Endpoint, check_models, resolve_endpoint
from ..llm.images import Message
from ..llm.response_cache import Request
from ..llm.sampling import Sampling
from ..templates import Template, load_template
from ..templates.feedback import OPTIMIZE
from ..workspace import Workspace
from ..yaml_files import first_problem
from .clip_images import Prompt, ShownClips, check_template_shows, image_prompts
from .rank import Ranking

DEFAULT_TOP_K = 6

Classes = str | Path | ClassSet


class RequestOptions(BaseModel):
    """Options of the requests and of the ranking of answers; documented in `generate`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str | None = None
    samples: int = Field(default=5, ge=1)
    top_k: int | None = Field(default=None, ge=1)
    rank: Ranking = "support"
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    reasoning_effort: str | None = None
    seed: int | None = None
    concurrency: int = Field(default=8, ge=1, le=256)
    timeout: float = Field(default=TIMEOUT_S, gt=0)
    allow_short: bool = False
    max_requests: int | None = Field(default=None, ge=1)
    budget_tokens: int | None = Field(default=None, ge=1)

    @classmethod
    def checked(cls, options: Mapping[str, Any]) -> RequestOptions:
        """Validate options given in Python. Raises InputError that names the invalid one."""
        try:
            return cls.model_validate(dict(options))
        except ValidationError as error:
            raise InputError(first_problem(error)) from error


@dataclass(frozen=True)
class Plan:
    """The requests for one description set, with the clips `shown` in them, and how answers are ranked.

    The first `top_k` descriptors of each class are used, ranked by `rank` (`rank.rank_classes`);
    `allow_short` accepts classes with fewer, but at least one.
    """

    class_set: ClassSet
    template: Template
    endpoint: Endpoint
    sampling: Sampling
    samples: int = 5
    top_k: int = 6
    rank: Ranking = "support"
    allow_short: bool = False
    shown: ShownClips | None = None

    @property
    def title(self) -> str:
        """Template and model, for messages."""
        return f"{self.template.name}, {self.endpoint.model}"

    @cached_property
    def questions(self) -> tuple[Prompt, ...]:
        """The prompts, class by class. Raises InputError as `prompts` and `image_prompts` do."""
        if self.shown is not None:
            return image_prompts(self.class_set, self.template, self.shown)
        rendered = prompts(self.class_set, self.template)
        return tuple(Prompt(name, tuple(messages)) for name, messages in rendered.items())

    @property
    def prompts(self) -> dict[str, list[Message]]:
        """The chat messages by the title of their prompt: the class name, or class and clip."""
        return {each.title: list(each.messages) for each in self.questions}

    @cached_property
    def requests(self) -> tuple[Request, ...]:
        """All requests, class by class; each sample has its own seed."""
        return tuple(request for question in self.questions for request in self._requests(question))

    def unanswered(self, keys: Container[str]) -> list[Prompt]:
        """The prompts with a request whose key is not in `keys`."""
        return [
            question
            for question in self.questions
            if any(request.key not in keys for request in self._requests(question))
        ]

    def _requests(self, question: Prompt) -> tuple[Request, ...]:
        endpoint, images = self.endpoint, question.images
        return tuple(
            Request(
                question.class_name,
                endpoint.base_url,
                endpoint.model,
                question.messages,
                self.sampling,
                sample,
                self.template.response_format,
                images,
                question.clip_id,
            )
            for sample in range(self.samples)
        )


def plans_for(
    classes: Classes | None,
    template: Sequence[str | Template],
    model: Sequence[str],
    asking: RequestOptions,
    workspace: Workspace,
    shown: ShownClips | None = None,
) -> list[Plan]:
    """A plan for every template with every model, duplicates removed.

    Raises InputError if a class set, template, model or sampling parameter is invalid, or a template renders
    the same prompt for two classes.
    """
    class_set = chosen_class_set(classes)
    templates = templates_for(template, workspace)
    names: list[str | None] = [*dict.fromkeys(model)] or [None]
    endpoints = [resolve_endpoint(workspace, asking.base_url, name) for name in names]
    if len(endpoints) > 1:  # report an unknown model before the first requests are paid for
        check_models(endpoints)
    return [
        plan_for(class_set, each, endpoint, asking, shown) for each in templates for endpoint in endpoints
    ]


def plan_for(
    class_set: ClassSet,
    template: Template,
    endpoint: Endpoint,
    asking: RequestOptions,
    shown: ShownClips | None = None,
) -> Plan:
    """The plan of one template with one model. Raises InputError as `plans_for` does."""
    check_template_shows(template, shown)
    drawn = asking.model_dump(include={"temperature", "top_p", "max_tokens", "reasoning_effort", "seed"})
    plan = Plan(
        class_set,
        template,
        endpoint,
        sampling_for(endpoint, template, **drawn),
        asking.samples,
        asking.top_k or DEFAULT_TOP_K,
        asking.rank,
        asking.allow_short,
        shown,
    )
    _ = plan.requests
    return plan


def templates_for(template: Sequence[str | Template], workspace: Workspace) -> list[Template]:
    """The templates without duplicates, loaded if given by name. Raises InputError."""
    loaded = [each if isinstance(each, Template) else load_template(each, workspace) for each in template]
    if any(each.name == OPTIMIZE for each in loaded):
        raise InputError(f"the template {OPTIMIZE} asks for edits of a set: use dfer-prompts optimize")
    return list({each.sha256: each for each in loaded}.values())


def chosen_class_set(classes: Classes | None) -> ClassSet:
    """The class set for a name, file or class set. Raises InputError, also if none is given."""
    if classes is None:
        raise InputError(f"no class set given: use --classes NAME\nAvailable: {', '.join(class_set_names())}")
    return classes if isinstance(classes, ClassSet) else load_class_set(str(classes))


def sampling_for(endpoint: Endpoint, template: Template, **given: Any) -> Sampling:
    """The sampling parameters: those given (None: not given), else the template's, else the endpoint's.

    Raises InputError if one is out of range.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        return Sampling.model_validate({**endpoint.sampling_defaults, **template.sampling, **chosen})
    except ValidationError as error:
        raise InputError(f"sampling: {first_problem(error)}") from error


def prompts(class_set: ClassSet, template: Template) -> dict[str, list[Message]]:
    """The chat messages for each class name. Raises InputError if two classes have the same prompt."""
    asked_for: dict[str, str] = {}
    rendered = {}
    for each in class_set.classes:
        messages = template.messages(each, class_set)
        content = messages[0]["content"]
        if content in asked_for:
            raise InputError(
                f"{template.path} gives the same prompt for {asked_for[content]} and {each.name}\n"
                "Use the class in it: {{ expression }}"
            )
        asked_for[content] = each.name
        rendered[each.name] = messages
    return rendered
