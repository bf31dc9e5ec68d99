"""Frames of clips in prompts: which clips are shown, in which request, and where their images may go."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dfer_model.io import write_atomically

from ..classes import ClassSet
from ..description_set import Seen
from ..errors import InputError
from ..llm.endpoint import Endpoint
from ..llm.images import Image, Message
from ..llm.network import is_loopback
from ..templates import Template
from ..templates.shown_clips import FRAMES, FRAMES_CONTRAST, numbered

LISTING = "images.csv"  # of a folder of images, with the clip of each file


@dataclass(frozen=True)
class ClipImages:
    """The images of one clip, in the order of time; `class_name` is that of the class set."""

    clip_id: str
    class_name: str
    fold: int
    images: tuple[Image, ...]


@dataclass(frozen=True)
class ShownClips:
    """The clips that are shown to a model, by class, and what a manifest says about them.

    `others` names for each class the class shown beside it, and is empty without one. With `per_clip` each
    request shows one clip of its class, else all of them. `may_leave` permits that the images are sent to
    another machine.
    """

    dataset: str
    clips: Mapping[str, tuple[ClipImages, ...]]
    others: Mapping[str, str] = field(default_factory=dict)
    per_clip: bool = False
    may_leave: bool = False
    seen: tuple[Seen, ...] = ()
    derivation: Mapping[str, Any] = field(default_factory=dict)

    def groups(self, class_name: str) -> list[tuple[ClipImages, ...]]:
        """The clips of each request for a class: its own ones, then those of the other class."""
        own = self.clips[class_name]
        beside = self.clips[self.others[class_name]] if self.others else ()
        if not self.per_clip:
            return [(*own, *beside)]
        return [
            (clip, beside[number % len(beside)]) if beside else (clip,) for number, clip in enumerate(own)
        ]

    def write(self, folder: Path) -> Path:
        """Write every image as a JPEG file and a list of them below `folder`, and return their folder.

        Files are named by class and number, never by clip, because a clip id may not be a valid file name.
        Raises OSError.
        """
        rows, files = [("file", "class_name", "clip_id", "sha256")], {}
        for label, (name, clips) in enumerate(self.clips.items()):
            class_folder = f"{label:02}-{re.sub(r'[^A-Za-z0-9_-]', '_', name)}"
            for number, clip in enumerate(clips, start=1):
                for place, image in enumerate(clip.images, start=1):
                    file = f"{class_folder}/{number:02}-{place:02}.jpg"
                    files[file] = image.jpeg
                    rows.append((file, name, clip.clip_id, image.sha256))
        listing = io.StringIO()
        csv.writer(listing, lineterminator="\n").writerows(rows)
        made = folder / hashlib.sha256(listing.getvalue().encode()).hexdigest()[:12]
        for file, jpeg in files.items():
            path = made / file
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, jpeg)
        write_atomically(made / LISTING, listing.getvalue())
        return made


@dataclass(frozen=True)
class Prompt:
    """The messages of one question about a class, or about one clip of it, and the clips in them."""

    class_name: str
    messages: tuple[Message, ...]
    clips: tuple[ClipImages, ...] = ()
    clip_id: str | None = None

    @property
    def title(self) -> str:
        """The class and, if it is about one, the clip."""
        return self.class_name if self.clip_id is None else f"{self.class_name}, {self.clip_id}"

    @property
    def images(self) -> tuple[Image, ...]:
        """The images of all clips, in the order of the message."""
        return tuple(image for clip in self.clips for image in clip.images)


def default_template(shown: ShownClips | None) -> str:
    """The name of the template that is used if none is given."""
    if shown is None:
        return "paper"
    return FRAMES_CONTRAST if shown.others else FRAMES


def check_template_shows(template: Template, shown: ShownClips | None) -> None:
    """Raise InputError if the template shows other clips than `shown` has."""
    if template.images == "none" and shown is not None:
        raise InputError(
            f"the template {template.name} shows no images\n"
            f"Use --template {default_template(shown)}, or add `images: class` to your own"
        )
    if template.images != "none" and shown is None:
        raise InputError(f"the template {template.name} shows images: use --source frames --dataset DIR")
    if template.images == "contrast" and shown is not None and not shown.others:
        raise InputError(f"the template {template.name} shows two classes: it requires --contrast")
    if template.images == "class" and shown is not None and shown.others:
        raise InputError(
            f"the template {template.name} shows one class, and --contrast two\n"
            f"Use --template {FRAMES_CONTRAST}, or leave out --contrast"
        )


def image_prompts(class_set: ClassSet, template: Template, shown: ShownClips) -> tuple[Prompt, ...]:
    """The prompts with images, class by class. Raises TemplateFault for an error in the template."""
    words = {each.name: each.words for each in class_set.classes}
    made = []
    for each in class_set.classes:
        other = words[shown.others[each.name]] if shown.others else ""
        for clips in shown.groups(each.name):
            described = numbered((words[clip.class_name], len(clip.images)) for clip in clips)
            images = [image for clip in clips for image in clip.images]
            messages = template.image_messages(each, class_set, described, other, images)
            clip_id = clips[0].clip_id if shown.per_clip else None
            made.append(Prompt(each.name, tuple(messages), clips, clip_id))
    return tuple(made)


def sending(prompts: Iterable[Prompt], shown: ShownClips, endpoint: Endpoint) -> str:
    """What the requests of `prompts` send and where: "16 images of 4 clips of mafw to api.openai.com"."""
    clips = {(clip.class_name, clip.clip_id): clip for prompt in prompts for clip in prompt.clips}
    images = sum(len(clip.images) for clip in clips.values())
    host = urlsplit(endpoint.base_url).netloc
    where = f"{host} (this machine)" if is_loopback(endpoint.base_url) else host
    return f"{_count(images, 'image')} of {_count(len(clips), 'clip')} of {shown.dataset} to {where}"


def check_may_be_sent(prompts: Sequence[Prompt], shown: ShownClips, endpoint: Endpoint) -> None:
    """Raise InputError if the images of `prompts` may not be sent to the endpoint.

    To this machine they may always be sent, to another one only if `shown.may_leave`. The demo model reads
    no images.
    """
    if endpoint.is_demo:
        raise InputError("the demo language model reads no images: give --model and --base-url")
    if not prompts or shown.may_leave or is_loopback(endpoint.base_url):
        return
    raise InputError(
        f"this would send {sending(prompts, shown, endpoint)}\n"
        "To allow it, add --send-images; --dry-run writes the images to a folder to look at"
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
