"""Dry run of `generate`: the number of requests and their cost, without sending any."""

from __future__ import annotations

from dataclasses import dataclass

from dfer_model.progress import Note

from ..defaults import Price, dollars
from ..errors import DferError, system_errors
from ..llm.endpoint import Endpoint, resolve_endpoint
from ..llm.images import Message
from ..llm.response_cache import ResponseStore
from ..llm.usage import Estimate
from ..templates import Template
from ..workspace import Workspace
from .clip_images import ShownClips, sending
from .plan import Classes, Plan, RequestOptions, chosen_class_set, plan_for, templates_for
from .run import answered


@dataclass(frozen=True)
class DryRun:
    """Requests, tokens and cost of one description set; tokens and costs of the requests still to be sent.

    `most` assumes that every answer has `max_tokens` tokens, `likely` the mean length of the stored answers;
    None if unknown. Costs are in US dollars, by the prices in `dfer.yaml`.
    """

    template: str
    model: str
    base_url: str
    prompts: dict[str, list[Message]]  # by class, or by class and clip
    requests: int
    answered: int | None  # None if no endpoint is known
    prompt_tokens: int
    estimated_by: str
    most_completion_tokens: int
    likely_completion_tokens: int | None
    most_cost: float | None
    likely_cost: float | None
    sending: str | None = None  # the images of the requests still to be sent, and where; None without images
    images_folder: str | None = None  # where the images of all requests are written

    @property
    def to_ask(self) -> int:
        """Requests without a stored answer."""
        return self.requests - (self.answered or 0)

    def summary(self) -> list[str]:
        """Lines on the number of requests, images, tokens and dollars."""
        known = "unknown: no model is configured" if self.answered is None else str(self.answered)
        each = "classes" if self.images_folder is None else "prompts"
        lines = [
            f"{self.template}, {self.model or 'no model'}: {self.requests} requests "
            f"({len(self.prompts)} {each} x {self.requests // len(self.prompts)}); already answered: {known}"
        ]
        if self.images_folder is not None:
            lines.append(f"  images of all requests: {self.images_folder}")
        if not self.to_ask:
            return [*lines, "  all answers are stored"]
        if self.sending is not None:
            lines.append(f"  would send {self.sending}")
        return [*lines, *self._costs()]

    def _costs(self) -> list[str]:
        likely = self.likely_completion_tokens
        tokens = (
            f"  tokens for the other {self.to_ask}: about {self.prompt_tokens} of prompts (estimated "
            f"{self.estimated_by}) and at most {self.most_completion_tokens} of answers"
            + ("" if likely is None else f"; {likely} at the mean length of the stored answers")
        )
        if self.most_cost is None:
            return [tokens, "  cost: unknown; give the model's prices in dfer.yaml"]
        likely_cost = "" if self.likely_cost is None else f", likely {dollars(self.likely_cost)}"
        return [tokens, f"  cost: at most {dollars(self.most_cost)}{likely_cost}"]


@system_errors()
def dry_run(
    classes: Classes | None,
    *,
    template: str | Template | list[str | Template] = "paper",
    model: str | list[str] | None = None,
    workspace: Workspace | None = None,
    shown: ShownClips | None = None,
    note: Note | None = None,
    **asking: object,
) -> list[DryRun]:
    """The requests that `generate` and `generate_all` would send with the same parameters, and their cost.

    The images of the clips `shown` are written to a folder below `.dfer/images` of the workspace.
    Without an endpoint the prompts are still shown, and `note` receives the reason. An address that only
    `dfer.yaml` names does not receive the key. Raises InputError for any other invalid input.
    """
    place = workspace or Workspace.find()
    options = RequestOptions.checked(asking)
    prices = place.defaults.prices  # raises for an invalid dfer.yaml, which must not become a note
    class_set = chosen_class_set(classes)
    templates = templates_for(template if isinstance(template, list) else [template], place)
    names = model if isinstance(model, list) else [model]
    endpoints = [_endpoint(place, options, name, note) for name in dict.fromkeys(names or [None])]
    store = ResponseStore(place.responses)
    plans = [
        plan_for(class_set, each, endpoint, options, shown) for each in templates for endpoint in endpoints
    ]
    folder = None if shown is None else str(shown.write(place.root / ".dfer" / "images"))
    return [_dry_run(plan, store, prices.get(plan.endpoint.model), folder) for plan in plans]


def _endpoint(workspace: Workspace, asking: RequestOptions, model: str | None, note: Note | None) -> Endpoint:
    try:
        return resolve_endpoint(workspace, asking.base_url, model, probing=True)
    except DferError as error:
        if note:
            note(str(error))
        return Endpoint("", model or "")


def _dry_run(plan: Plan, store: ResponseStore, price: Price | None, folder: str | None) -> DryRun:
    known = bool(plan.endpoint.base_url)
    stored = answered(plan.requests, store) if known else {}
    to_ask = [request for request in plan.requests if request.key not in stored]
    estimate = Estimate.of(
        (request, stored[request.key].record["response"])
        for request in plan.requests
        if request.key in stored
    )
    prompt = sum(map(estimate.prompt_tokens, to_ask))
    most = len(to_ask) * plan.sampling.max_tokens
    likely = None if estimate.completion is None else round(len(to_ask) * estimate.completion)
    return DryRun(
        template=plan.template.name,
        model=plan.endpoint.model,
        base_url=plan.endpoint.base_url,
        prompts=plan.prompts,
        requests=len(plan.requests),
        answered=len(stored) if known else None,
        prompt_tokens=prompt,
        estimated_by=estimate.basis,
        most_completion_tokens=most,
        likely_completion_tokens=likely,
        most_cost=price.of(prompt, most) if price else None,
        likely_cost=price.of(prompt, likely) if price and likely is not None else None,
        sending=sending(plan.unanswered(stored), plan.shown, plan.endpoint) if plan.shown else None,
        images_folder=folder,
    )
