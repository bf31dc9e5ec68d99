"""Templates: prompts in Jinja2 with YAML front matter, rendered in a sandbox with strict variables.

A template of `generate` has four variables: `expression` (the words of the class, "anger and disgust"),
`class_name` ("anger_disgust"), `expressions` (the words of all classes, in label order) and `class_set` (its
name). A template with `images` in its front matter has those of `shown_clips.py` too, and the template
`optimize` has those of `feedback.py` only. Values are never rendered as a template.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, TemplateSyntaxError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..classes import ClassSet, ExpressionClass
from ..errors import InputError, system_errors, unknown
from ..llm.images import Image, Message, image_message
from ..llm.sampling import ResponseFormat, Sampling
from ..workspace import SHIPPED_TEMPLATES, Workspace, shipped
from ..yaml_files import first_problem, key_lines, parse_yaml
from .feedback import OPTIMIZE, Feedback, example
from .sandbox import Sandbox
from .shown_clips import IMAGE_VARIABLES, ImagesShown, ShownClip, example_clips

SUFFIX = ".md"
FRONT_MATTER_LINE = 2  # line of the file, below the first `---`
LARGEST_FILE = 500_000  # bytes; a prompt has at most 50,000 characters
LONGEST_FAULT = 300  # characters
VARIABLES = ("expression", "class_name", "expressions", "class_set")
SHAPE = "A template consists of `---`, YAML lines, `---`, then the prompt"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
FRONT_MATTER = re.compile(r"---[ \t]*\n(?P<matter>.*?\n)---[ \t]*\n(?P<text>.*)", re.DOTALL)

# Exceptions while a template is compiled (SyntaxError if loops are nested deeper than Python allows) and
# rendered, including those of the sandbox.
RENDER_ERRORS = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    SyntaxError,
    TypeError,
    ValueError,
)


class TemplateFault(InputError):
    """An error in a template file, with the line if known."""

    def __init__(self, path: Path, says: str, line: int | None = None, hint: str = "") -> None:
        where = f"{path}, line {line}" if line else f"{path}"
        super().__init__("\n".join(filter(None, (f"{where}: {says}", hint))))
        self.says = says
        self.line = line


class FrontMatter(BaseModel):
    """The content between the `---` lines; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    purpose: str = Field(min_length=1, pattern=r"^[^\n]+$")
    source: str = ""
    response_format: ResponseFormat = "text"
    images: ImagesShown = "none"
    sampling: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True)
class Template:
    """One prompt, ready to render."""

    name: str
    purpose: str  # one line
    source: str  # origin of the prompt: a paper, an author
    response_format: (
        ResponseFormat  # requested from the server; answers in plain text are parsed in either case
    )
    sampling: dict[str, Any]  # recommended sampling parameters; the command line takes precedence
    text: str  # the Jinja2 source, without the front matter
    sha256: str  # of the whole file
    path: Path
    first_line: int  # line of the file on which `text` begins
    images: ImagesShown = "none"  # clips whose frames are sent with the prompt

    def messages(self, expression_class: ExpressionClass, class_set: ClassSet) -> list[Message]:
        """The chat messages for one class: a single user message.

        Of `optimize` it is an example for all classes; of a template with images it has their description for
        an example, and no image.

        Raises TemplateFault, with file and line, for an undefined variable, a forbidden access, or any other
        error in the template.
        """
        if self.name == OPTIMIZE:
            return self.feedback_messages(example(class_set))
        shown: dict[str, Any] = {}
        if self.images != "none":
            shown["clips"], shown["other"] = example_clips(self.images, expression_class, class_set)
        return [_user(self._class_prompt(expression_class, class_set, **shown))]

    def image_messages(
        self,
        expression_class: ExpressionClass,
        class_set: ClassSet,
        clips: list[ShownClip],
        other: str,
        images: Iterable[Image],
    ) -> list[Message]:
        """The chat messages for one class with frames of clips; `other` are the words of the class beside it.

        Raises TemplateFault as `messages` does.
        """
        text = self._class_prompt(expression_class, class_set, clips=clips, other=other)
        return [image_message(text, images)]

    def feedback_messages(self, feedback: Feedback) -> list[Message]:
        """The chat messages that ask for edits of a set. Raises TemplateFault as `messages` does."""
        return [_user(self._rendered("the description set", **feedback))]

    def _class_prompt(self, expression_class: ExpressionClass, class_set: ClassSet, **shown: Any) -> str:
        return self._rendered(
            expression_class.name,
            expression=expression_class.words,
            class_name=expression_class.name,
            expressions=[each.words for each in class_set.classes],
            class_set=class_set.name,
            **shown,
        )

    def _rendered(self, what: str, **variables: Any) -> str:
        try:
            content = Sandbox().prompt(self.text, **variables)
        except RENDER_ERRORS as error:
            raise self._fault(error) from error
        if not content.strip():
            raise TemplateFault(self.path, f"the template gives an empty prompt for {what}")
        return content

    @property
    def variables(self) -> tuple[str, ...]:
        """The names that the template may use."""
        if self.name == OPTIMIZE:
            return tuple(Feedback.__annotations__)
        return VARIABLES if self.images == "none" else (*VARIABLES, *IMAGE_VARIABLES)

    def _fault(self, error: Exception) -> TemplateFault:
        line = error.lineno if isinstance(error, TemplateSyntaxError) else _line_in_template(error)
        says = " ".join(str(error).split())[:LONGEST_FAULT] or type(error).__name__
        hint = f"Available variables: {', '.join(self.variables)}" if "undefined" in says else ""
        return TemplateFault(self.path, says, self.first_line + line - 1, hint)


def _user(text: str) -> Message:
    return {"role": "user", "content": text}


def template_names(workspace: Workspace) -> list[str]:
    """The sorted names of all templates; one in the workspace overrides a shipped one of the same name."""
    own = [path for path in workspace.prompts.glob(f"*{SUFFIX}") if path.is_file()]
    return sorted({*SHIPPED_TEMPLATES, *(path.stem for path in own if NAME.fullmatch(path.stem))})


@system_errors()
def load_template(name: str, workspace: Workspace) -> Template:
    """The template `name`, from the workspace's `prompts/` or else the shipped ones.

    Raises InputError for an unknown or invalid name, and TemplateFault for invalid front matter or syntax
    errors.
    """
    if not NAME.fullmatch(name) or name not in template_names(workspace):
        raise unknown("template", name, template_names(workspace))
    own = workspace.prompts / f"{name}{SUFFIX}"
    return read_template(own if own.is_file() else shipped("prompts") / f"{name}{SUFFIX}")


def read_template(path: Path) -> Template:
    """The template in a file. Raises TemplateFault as `load_template` does."""
    if path.stat().st_size > LARGEST_FILE:
        raise TemplateFault(path, f"larger than {LARGEST_FILE} bytes")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TemplateFault(path, f"not UTF-8 text (byte {error.start})") from error
    parts = FRONT_MATTER.fullmatch(content)
    if parts is None:
        raise TemplateFault(path, "no front matter", hint=SHAPE)
    matter = _front_matter(path, parts["matter"])
    body = parts["text"]
    text = body.strip("\n")
    skipped = len(body) - len(body.lstrip("\n"))
    first_line = content.count("\n", 0, parts.start("text")) + 1 + skipped
    template = Template(
        name=matter.name,
        purpose=matter.purpose,
        source=matter.source,
        response_format=matter.response_format,
        sampling=matter.sampling,
        text=text,
        sha256=hashlib.sha256(content.encode("utf-8")).hexdigest(),
        path=path,
        first_line=first_line,
        images=matter.images,
    )
    try:
        Sandbox().compile(text)
    except RENDER_ERRORS as error:
        raise template._fault(error) from error
    return template


def _front_matter(path: Path, text: str) -> FrontMatter:
    try:
        matter = FrontMatter.model_validate(parse_yaml(text, "the front matter", FRONT_MATTER_LINE))
    except ValidationError as error:
        place = error.errors(include_input=False)[0]["loc"]
        raise _wrong(path, text, str(place[0]) if place else "", first_problem(error)) from error
    except InputError as error:
        raise TemplateFault(path, str(error)) from error
    try:
        Sampling.model_validate(matter.sampling)
    except ValidationError as error:
        raise _wrong(path, text, "sampling", f"sampling, {first_problem(error)}") from error
    if matter.name != path.stem:
        raise _wrong(path, text, "name", f"the front matter has name: {matter.name}; it must be {path.stem}")
    return matter


def _wrong(path: Path, text: str, key: str, says: str) -> TemplateFault:
    return TemplateFault(path, says, key_lines(text, FRONT_MATTER_LINE).get(key))


def _line_in_template(error: BaseException) -> int:
    """The line of the template that was rendered, from the traceback, which Jinja2 rewrites."""
    line = 1
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in ("<template>", "<unknown>"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
