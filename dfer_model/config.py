"""The settings of a run, their defaults, and the presets.

The five presets are `default` (recommended), `paper` (the released code of DFER-CLIP, arXiv 2308.13382),
`paper-text` (the paper's text where it differs from that code), `strong` (common additions to such a recipe;
docs/recipe.md) and `demo` (small, for one core).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .errors import InputError, unknown
from .registry import SETTING_MEANINGS
from .registry import STRATEGIES as STRATEGIES


def _split(value: object) -> object:
    """The parts of `30,40` or `[30, 40]` from a command line; other values unchanged."""
    if not isinstance(value, str):
        return (value,) if isinstance(value, int) else value
    return tuple(part.strip() for part in value.strip().strip("[]()").split(",") if part.strip())


def _number(value: object) -> object:
    """The number in `3` from a command line; other values unchanged."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


Epochs = Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_split)]
Rate = Annotated[float, Field(ge=0)]
Crops = Annotated[Literal[1, 3, 5], BeforeValidator(_number)]
Classifiers = Literal[
    "dfer-clip", "cocoop", "linear",
    "r3d-18", "r2plus1d-18", "resnet18-lstm", "resnet18-vit", "c3d", "p3d", "i3d",
]  # fmt: skip
Losses = Literal["cross-entropy", "class-weighted", "focal", "ldam", "logit-adjusted"]


class ModelSettings(BaseModel):
    """The settings of the model: its towers, its prompts, and its trained parts."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    classifier: Classifiers = Field(
        default="dfer-clip",
        description="CLIP with prompts, CLIP with a linear head, or a video network",
    )
    clip: str = Field(default="ViT-B-32-quickgelu", min_length=1, description=SETTING_MEANINGS["clip"])
    weights: str = Field(
        default="openai",
        min_length=1,
        description=SETTING_MEANINGS["weights"],
    )
    frames: int = Field(default=16, ge=1, le=512, description="frames sampled from a clip")
    contexts: int = Field(default=8, ge=0, le=75, description="learnable context vectors in each prompt")
    position: Literal["end", "middle", "front"] = Field(
        default="end", description="position of the description among the contexts"
    )
    context_kind: Literal["class-specific", "unified"] = Field(
        default="class-specific", description="contexts per class, or shared by all classes"
    )
    temporal_depth: int = Field(
        default=1, ge=0, le=24, description="layers of the temporal model; 0: mean of the frame features"
    )
    ensemble: Literal["mean-embedding", "mean-similarity", "max"] = Field(
        default="mean-embedding", description=SETTING_MEANINGS["ensemble"]
    )
    member_contexts: Literal["shared", "own"] = Field(
        default="shared", description="contexts shared by the members of a class, or one set each"
    )
    learned_temperature: bool = Field(
        default=False, description="learn the temperature, at lr_context, instead of the fixed 0.01"
    )
    lora_rank: int = Field(
        default=0, ge=0, le=1024, description="rank of LoRA in the image tower, which is then frozen; 0: off"
    )
    gradient_checkpointing: bool = Field(
        default=False, description="recompute the image tower's activations in the backward pass: less memory"
    )
    fast_fp32: bool = Field(
        default=False,
        description="in fp32, compute only the used token of the last block; equal up to rounding",
    )
    compile: Literal["off", "inductor", "aot_eager"] = Field(
        default="off",
        description="backend of torch.compile for the towers' blocks in training steps; equal up to rounding",
    )
    lr_image: Rate = Field(default=1e-5, description="learning rate of the image tower; 0 freezes it")

    @property
    def uses_clip(self) -> bool:
        """Whether the classifier is built on CLIP and not on a network of its own."""
        return self.classifier in ("dfer-clip", "cocoop", "linear")

    @property
    def uses_texts(self) -> bool:
        """Whether the classifier represents classes by texts and not by a learned layer."""
        return self.classifier in ("dfer-clip", "cocoop")


class Settings(ModelSettings):
    """All settings of a run, besides clips, class texts, fold and seed; unknown keys are an error."""

    normalize: Literal["none", "clip"] = Field(
        default="clip", description="pixels in 0..1, or normalised by CLIP's mean and standard deviation"
    )
    brightness_jitter: float = Field(
        default=0.0, ge=0, le=1, description="brightness factor drawn from 1-j..1+j per training clip; 0: off"
    )
    rotation: float = Field(
        default=0.0,
        ge=0,
        le=180,
        description="maximum rotation of a training clip in either direction, in degrees; 0: off",
    )
    rotation_interpolation: Literal["bilinear", "nearest"] = Field(
        default="bilinear", description="pixels of a rotated frame; the released code takes the nearest"
    )
    epochs: int = Field(default=50, ge=0, description=SETTING_MEANINGS["epochs"])
    batch_size: int = Field(default=48, ge=1, description="clips in a training step")
    accumulate: int = Field(
        default=1,
        ge=1,
        description="parts of a batch computed in sequence (gradient accumulation): less memory",
    )
    lr_temporal: Rate = Field(default=1e-2, description="learning rate of the temporal model")
    lr_context: Rate = Field(default=1e-3, description="learning rate of the contexts")
    lr_head: Rate = Field(default=1e-2, description="learning rate of a linear head")
    optimizer: Literal["sgd", "adamw"] = Field(default="sgd", description="optimizer of the weights")
    momentum: float = Field(default=0.9, ge=0, lt=1, description="momentum of sgd; adamw has its own")
    weight_decay: float = Field(default=1e-4, ge=0, description="weight decay of the optimizer")
    schedule: Literal["multistep", "cosine"] = Field(
        default="multistep", description="decay of the learning rates: at milestones, or along a cosine to 0"
    )
    warmup_epochs: int = Field(default=0, ge=0, description="epochs of linear warm-up of the learning rates")
    milestones: Epochs = Field(
        default=(30, 40), description="epochs after which multistep multiplies the learning rates"
    )
    gamma: float = Field(default=0.1, gt=0, le=1, description="factor of multistep")
    label_smoothing: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the target spread evenly over all classes",
    )
    targets: Literal["labels", "distribution"] = Field(
        default="labels",
        description="targets of the loss: the labels, or the shares of the annotators' votes",
    )
    loss: Losses = Field(
        default="cross-entropy",
        description="loss; all but cross-entropy and focal use the number of training clips per class",
    )
    focal_gamma: float = Field(
        default=2.0, ge=0, description="exponent gamma of the focal loss; 0: cross-entropy"
    )
    ldam_margin: float = Field(
        default=0.5,
        ge=0,
        description="margin of the smallest class in ldam; a larger one has less",
    )
    ldam_scale: float = Field(
        default=30.0, ge=0, description="factor of ldam's margins when they are subtracted from logits"
    )
    logit_tau: float = Field(
        default=1.0, ge=0, description="factor tau of the log class frequencies in logit-adjusted"
    )
    mixup: float = Field(default=0.0, ge=0, description="alpha of mixup over whole clips; 0: off")
    cutmix: float = Field(default=0.0, ge=0, description="alpha of cutmix over whole clips; 0: off")
    sampling: Literal["uniform", "class-balanced", "streamed"] = Field(
        default="uniform",
        description="each clip once per epoch, every class equally often, or each once in stream order",
    )
    ema: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="decay of the average of the weights that is used for prediction; 0: off",
    )
    shots: int = Field(
        default=0, ge=0, description="training clips per class, the same for every set; 0: all"
    )
    held_out: str = Field(default="", description="class whose clips are left out of training")
    test_segments: int = Field(
        default=1, ge=1, le=64, description="temporal samples of a test clip, averaged"
    )
    test_crops: Crops = Field(default=1, description="crops of each test frame, averaged; 1: the whole frame")
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32",
        description="number format of the towers' arithmetic; if not given, bf16 on a GPU that has it, "
        "except in the paper presets",
    )
    tf32: bool = Field(
        default=True, description="round the factors of fp32 matrix products to TF32 on CUDA: faster"
    )
    select: Literal["last", "val", "test-best"] = Field(
        default="last",
        description=SETTING_MEANINGS["select"],
    )
    val_share: float = Field(
        default=0.1, gt=0, lt=1, description="validation share of each class's training clips, for select=val"
    )
    workers: Annotated[int, Field(ge=0, le=256)] | Literal["auto"] = Field(
        default="auto",
        description="processes that read clips, on a machine; auto: one per core, at most 16 per GPU or CPU "
        "process; does not affect results",
    )

    @property
    def is_zero_shot(self) -> bool:
        """Whether the model is CLIP with the class texts and nothing else, as by strategy zero-shot."""
        return self.classifier == "dfer-clip" and not (self.contexts or self.temporal_depth or self.epochs)


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
    "rotation_interpolation": "bilinear",
    "tf32": True,
    "loss": "cross-entropy",
    "targets": "labels",
    "focal_gamma": 2.0,
    "ldam_margin": 0.5,
    "ldam_scale": 30.0,
    "logit_tau": 1.0,
}
"""The behaviour before a setting existed. At this value the setting is not part of a run's definition, so
runs trained before it are still reused."""

PRESETS: Mapping[str, Settings] = {
    "default": Settings(),
    "paper": Settings(normalize="none", select="test-best", tf32=False),
    "paper-text": Settings(
        normalize="none", select="test-best", tf32=False, brightness_jitter=0.5, rotation=4.0
    ),
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
"""The presets for custom datasets; `preset` adds the values of a known dataset."""

FP32_PRESETS = ("paper", "paper-text")
"""The presets that compute in float32 on every device, as the released code."""

# The released code has additional augmentation for two of the three datasets.
_RELEASED_AUGMENTATION: Mapping[str, Mapping[str, Any]] = {
    "dfew": {"brightness_jitter": 0.5},
    "ferv39k": {"rotation": 4.0, "rotation_interpolation": "nearest"},
}
_DATASETS = ("dfew", "ferv39k", "mafw", "mafw-compound")  # with known augmentation


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
    """The augmentation as text: "random crop and flip, brightness jitter 0.5"."""
    words = ["random crop and flip"]
    if settings.brightness_jitter:
        words.append(f"brightness jitter {settings.brightness_jitter:g}")
    if settings.rotation:
        nearest = " (nearest pixel)" if settings.rotation_interpolation == "nearest" else ""
        words.append(f"rotation up to {settings.rotation:g} degrees{nearest}")
    return ", ".join(words)


def augmentation_reason(name: str, dataset_name: str, settings: Settings) -> str | None:
    """Why preset `name` augments this dataset as in `settings`; None if it does so for all datasets."""
    if name != "paper":
        return None
    added = {
        "brightness_jitter": 0.0,
        "rotation": 0.0,
        "rotation_interpolation": "bilinear",
        **_released(dataset_name),
    }
    if any(getattr(settings, key) != value for key, value in added.items()):
        return "your own settings override those of preset paper"
    if dataset_name.lower() in _DATASETS:
        return f"preset paper augments {dataset_name} as the released code does"
    return (
        "preset paper adds brightness jitter on dfew and rotation on ferv39k, and the dataset of these clips "
        f"is named {dataset_name}; if they are of one of the two, pack them with data prepare --dataset-name"
    )


def _released(dataset_name: str) -> Mapping[str, Any]:
    return _RELEASED_AUGMENTATION.get(dataset_name.lower(), {})


def strategy(name: str) -> Mapping[str, Any]:
    """The settings of strategy `name` that override a preset's. Raises InputError if it is unknown."""
    if name not in STRATEGIES:
        raise unknown("strategy", name, STRATEGIES)
    return STRATEGIES[name]


def with_overrides(settings: Settings, overrides: Sequence[str]) -> Settings:
    """`settings` with `key=value` overrides applied in order (`milestones=30,40`).

    Raises InputError, with key, value and allowed values in one line, for an invalid override.
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
    """The value for validation: a path or number as text for a text setting; True is not a number."""
    kind = Settings.model_fields[key].annotation
    if kind is str or (isinstance(value, bool) and kind is not bool):
        return str(value)
    return value


def _sentence(failure: ValidationError, given: Mapping[str, Any]) -> str:
    """pydantic's first error as `setting key=value: should be ... (meaning of the setting)`."""
    first = failure.errors()[0]
    key = str(first["loc"][0])
    complaint = first["msg"].removeprefix("Input ").removeprefix("String ")
    return f"setting {key}={given[key]}: {complaint} ({key} is: {Settings.model_fields[key].description})"
