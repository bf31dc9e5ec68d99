"""A run's settings: every choice that shapes a training, its default, and the presets.

The five presets are `default` (what this project recommends), `paper` (the released code of DFER-CLIP,
arXiv 2308.13382), `paper-text` (the paper's text where it differs from that code), `strong` (what the field
adds to such a recipe; docs/recipe.md) and `demo` (small, for one core).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .cores import cores
from .errors import InputError, unknown
from .registry import STRATEGIES as STRATEGIES


def _split(value: object) -> object:
    """`30,40` or `[30, 40]`, as written on a command line, as its parts; anything else as it is."""
    if not isinstance(value, str):
        return (value,) if isinstance(value, int) else value
    return tuple(part.strip() for part in value.strip().strip("[]()").split(",") if part.strip())


def _number(value: object) -> object:
    """`3`, as written on a command line, as the number; anything else as it is."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _workers() -> int:
    """The cores this process may use, at most 16: what reads clips fast enough for one GPU."""
    return min(16, cores())


Epochs = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_split)]
Rate = Annotated[float, Field(ge=0)]
Crops = Annotated[Literal[1, 3, 5], BeforeValidator(_number)]
Classifiers = Literal[
    "dfer-clip", "cocoop", "linear",
    "r3d-18", "r2plus1d-18", "resnet18-lstm", "resnet18-vit", "c3d", "p3d", "i3d",
]  # fmt: skip


class ModelSettings(BaseModel):
    """What decides the model itself: its towers, its prompts, and which of its parts are trained."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    classifier: Classifiers = Field(
        default="dfer-clip", description="what answers: CLIP with prompts, with a linear head, or a network"
    )
    clip: str = Field(
        default="ViT-B-32-quickgelu", min_length=1, description="CLIP by open_clip's name, or `demo`"
    )
    weights: str = Field(
        default="openai",
        min_length=1,
        description="pretrained tag, weight file, `random`, or `shipped` (demo only)",
    )
    frames: int = Field(default=16, ge=1, le=512, description="frames taken from a clip")
    contexts: int = Field(default=8, ge=0, le=75, description="learnable context vectors in each prompt")
    position: Literal["end", "middle", "front"] = Field(
        default="end", description="where the description stands among the contexts"
    )
    context_kind: Literal["class-specific", "unified"] = Field(
        default="class-specific", description="contexts of each class its own, or one for all"
    )
    temporal_depth: int = Field(
        default=1, ge=0, le=24, description="layers of the temporal model; 0: mean of the frame features"
    )
    ensemble: Literal["mean-embedding", "mean-similarity", "max"] = Field(
        default="mean-embedding", description="how a class's members answer together"
    )
    member_contexts: Literal["shared", "own"] = Field(
        default="shared", description="contexts of a class shared by its members, or one set each"
    )
    learned_temperature: bool = Field(
        default=False, description="learn, at lr_context, what cosines are divided by, which else is 0.01"
    )
    lora_rank: int = Field(
        default=0, ge=0, le=1024, description="rank of LoRA in the image tower, then itself frozen; 0: off"
    )
    gradient_checkpointing: bool = Field(
        default=False, description="compute the image tower's inner values twice and keep fewer of them"
    )
    lr_image: Rate = Field(default=1e-5, description="learning rate of the image tower; 0 freezes it")

    @property
    def uses_clip(self) -> bool:
        """Whether the classifier stands on a CLIP, and not on a network of its own."""
        return self.classifier in ("dfer-clip", "cocoop", "linear")

    @property
    def uses_texts(self) -> bool:
        """Whether the classifier tells classes by their texts, and not by a layer it learns."""
        return self.classifier in ("dfer-clip", "cocoop")


class Settings(ModelSettings):
    """All that defines a run beside its clips, class texts, fold and seed; unknown keys are refused."""

    normalize: Literal["none", "clip"] = Field(
        default="clip", description="pixels in 0..1 as they are, or with CLIP's mean and standard deviation"
    )
    brightness_jitter: float = Field(
        default=0.0, ge=0, le=1, description="brightness factor drawn from 1-j..1+j per training clip; 0: off"
    )
    rotation: float = Field(
        default=0.0,
        ge=0,
        le=180,
        description="largest rotation of a training clip either way, in degrees; 0: off",
    )
    epochs: int = Field(default=50, ge=0, description="passes over the training clips; 0: nothing is trained")
    batch_size: int = Field(default=48, ge=1, description="clips in a training step")
    accumulate: int = Field(
        default=1,
        ge=1,
        description="parts in which a batch is computed one after another: less memory, the same gradient",
    )
    lr_temporal: Rate = Field(default=1e-2, description="learning rate of the temporal model")
    lr_context: Rate = Field(default=1e-3, description="learning rate of the contexts")
    lr_head: Rate = Field(default=1e-2, description="learning rate of a linear head")
    optimizer: Literal["sgd", "adamw"] = Field(default="sgd", description="what changes the weights")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum of sgd; adamw has its own")
    weight_decay: float = Field(default=1e-4, ge=0, description="weight decay of the optimizer")
    schedule: Literal["multistep", "cosine"] = Field(
        default="multistep", description="how the learning rates fall: at milestones, or along a cosine to 0"
    )
    warmup_epochs: int = Field(
        default=0, ge=0, description="epochs over which the learning rates rise to their value"
    )
    milestones: Epochs = Field(
        default=(30, 40), description="epochs after which multistep multiplies the learning rates"
    )
    gamma: float = Field(
        default=0.1, gt=0, le=1, description="what multistep multiplies the learning rates by"
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="share of the target that all classes have in equal parts"
    )
    mixup: float = Field(default=0.0, ge=0, description="alpha of mixup over whole clips; 0: off")
    cutmix: float = Field(default=0.0, ge=0, description="alpha of cutmix over whole clips; 0: off")
    sampling: Literal["uniform", "class-balanced", "streamed"] = Field(
        default="uniform",
        description="training clips once an epoch, every class equally often, or once as shards stream them",
    )
    ema: float = Field(
        default=0.0, ge=0, lt=1, description="decay of the average of the weights that answers; 0: off"
    )
    shots: int = Field(
        default=0, ge=0, description="training clips of each class, the same for every set; 0: all"
    )
    held_out: str = Field(default="", description="class whose clips are left out of training")
    test_segments: int = Field(
        default=1, ge=1, le=64, description="times that frames are taken of a test clip, averaged"
    )
    test_crops: Crops = Field(default=1, description="crops of each test frame, averaged; 1: the whole frame")
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="number format of the towers' arithmetic"
    )
    select: Literal["last", "val", "test-best"] = Field(
        default="last",
        description="epoch that is kept; test-best looks at the fold that judges, and flatters",
    )
    val_share: float = Field(
        default=0.1, gt=0, lt=1, description="share of each class's training clips that choose, for val"
    )
    workers: int = Field(
        default_factory=_workers,
        ge=0,
        le=256,
        description="processes that read clips; never changes a result",
    )


BEFORE: Mapping[str, Any] = {
    "classifier": "dfer-clip",
    "ensemble": "mean-embedding",
    "member_contexts": "shared",
    "learned_temperature": False,
    "lora_rank": 0,
    "gradient_checkpointing": False,
    "lr_head": 1e-2,
    "optimizer": "sgd",
    "schedule": "multistep",
    "warmup_epochs": 0,
    "label_smoothing": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
    "sampling": "uniform",
    "ema": 0.0,
    "shots": 0,
    "held_out": "",
    "test_segments": 1,
    "test_crops": 1,
    "val_share": 0.1,
}
"""What was done before a setting existed: at it, the setting is no part of what defines a run, so that runs
trained before it are still found."""

PRESETS: Mapping[str, Settings] = {
    "default": Settings(),
    "paper": Settings(normalize="none", select="test-best"),
    "paper-text": Settings(normalize="none", select="test-best", brightness_jitter=0.5, rotation=4.0),
    "strong": Settings(
        optimizer="adamw",
        weight_decay=0.01,
        lr_temporal=3e-4,
        lr_head=1e-3,
        schedule="cosine",
        warmup_epochs=5,
        label_smoothing=0.1,
        mixup=0.2,
        sampling="class-balanced",
        ema=0.999,
        learned_temperature=True,
        test_segments=2,
        test_crops=3,
    ),
    "demo": Settings(
        clip="demo",
        weights="shipped",
        frames=8,
        contexts=4,
        lr_image=0.0,
        lr_temporal=5e-3,
        epochs=5,
        batch_size=8,
        milestones=(4,),
        workers=1,
    ),
}
"""The presets on a dataset of one's own; `preset` adds what belongs to one dataset."""

# The released code augments two of the three datasets further, each in its own way.
_RELEASED_AUGMENTATION: Mapping[str, Mapping[str, Any]] = {
    "dfew": {"brightness_jitter": 0.5},
    "ferv39k": {"rotation": 4.0},
}
_DATASETS = ("dfew", "ferv39k", "mafw", "mafw-compound")  # those whose augmentation is known


def preset(name: str, dataset_name: str | None = None) -> Settings:
    """The settings of preset `name` for a dataset (`dfew`, `ferv39k`, `mafw`; any other adds nothing).

    Raises InputError for a preset that does not exist.
    """
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    settings = PRESETS[name]
    if name == "paper" and dataset_name is not None:
        return settings.model_copy(update=_released(dataset_name))
    return settings


def augmentation_words(settings: Settings) -> str:
    """What is done to a training clip: "random crop and flip, brightness jitter 0.5"."""
    words = ["random crop and flip"]
    if settings.brightness_jitter:
        words.append(f"brightness jitter {settings.brightness_jitter:g}")
    if settings.rotation:
        words.append(f"rotation up to {settings.rotation:g} degrees")
    return ", ".join(words)


def augmentation_reason(name: str, dataset_name: str, settings: Settings) -> str | None:
    """Why preset `name` augments clips of this dataset as `settings` do, None where it does so everywhere."""
    if name != "paper":
        return None
    added = {"brightness_jitter": 0.0, "rotation": 0.0, **_released(dataset_name)}
    if any(getattr(settings, key) != value for key, value in added.items()):
        return "settings of your own take the place of preset paper's"
    if dataset_name.lower() in _DATASETS:
        return f"preset paper does on {dataset_name} what the released code does"
    return (
        "preset paper adds brightness jitter on dfew and rotation on ferv39k, and the dataset of these clips "
        f"is named {dataset_name}; if they are of one of the two, pack them with data prepare --dataset-name"
    )


def _released(dataset_name: str) -> Mapping[str, Any]:
    return _RELEASED_AUGMENTATION.get(dataset_name.lower(), {})


def strategy(name: str) -> Mapping[str, Any]:
    """The settings that strategy `name` lays over a preset's. Raises InputError for an unknown one."""
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    return STRATEGIES[name]


def with_overrides(settings: Settings, overrides: Sequence[str]) -> Settings:
    """`settings` with `key=value` texts applied in order, as a person writes them (`milestones=30,40`).

    Raises InputError, in one line naming key, value and what is allowed, for anything that does not fit.
    """
    values: dict[str, str] = {}
    for override in overrides:
        key, equals, value = (part.strip() for part in override.partition("="))
        if not equals:
            raise InputError(f"setting {override!r} is not of the form key=value")
        values[key] = value
    return with_values(settings, values)


def with_values(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """`settings` with these values by key, validated.

    Raises InputError, in one line naming key, value and what is allowed, for anything that does not fit.
    """
    changed: dict[str, Any] = settings.model_dump()
    for key, value in values.items():
        if key not in Settings.model_fields:
            raise unknown("setting", key, Settings.model_fields)
        changed[key] = _fitting(key, value)
    try:
        return Settings.model_validate(changed)
    except ValidationError as failure:
        raise InputError(_sentence(failure, changed)) from None


def _fitting(key: str, value: object) -> object:
    """The value for validation: a path or number as text for a text setting; True is no number."""
    wanted = Settings.model_fields[key].annotation
    if wanted is str or (isinstance(value, bool) and wanted is not bool):
        return str(value)
    return value


def _sentence(failure: ValidationError, given: Mapping[str, Any]) -> str:
    """The first complaint of pydantic as `setting key=value: should be ... (what the setting is)`."""
    first = failure.errors()[0]
    key = str(first["loc"][0])
    complaint = first["msg"].removeprefix("Input ").removeprefix("String ")
    return f"setting {key}={given[key]}: {complaint} ({key} is: {Settings.model_fields[key].description})"
