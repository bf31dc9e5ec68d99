"""Co-CoOp: contexts that depend on the clip ("Conditional Prompt Learning for Vision-Language Models",
Zhou et al., CVPR 2022, arXiv 2203.05557).

A small network, the meta-net, maps a clip's feature x to one vector that is added to every context vector:

    V_m(x) = V_m + meta-net(x),    meta-net = Linear(width -> width / 16), ReLU, Linear(-> text width)

so each clip has its own class weights, and the text tower encodes classes x clips prompts. In the paper the
feature is an image's, here it is the video's, with unit norm as in the released code.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from dfer_model.config import ModelSettings

from .clip import Clip
from .dfer_clip import DferClip

REDUCTION = 16
PROMPTS_AT_ONCE = 128


class CoCoOp(DferClip):
    """DferClip whose contexts depend on the clip; a finished run therefore stores the text tower.

    Raises InputError for descriptions that do not fit the text tower, and names their class by `class_names`.
    """

    left_out: tuple[str, ...] = ()

    def __init__(
        self,
        clip: Clip,
        class_texts: Sequence[Sequence[str]],
        settings: ModelSettings,
        *,
        class_names: Sequence[str] | None = None,
    ):
        super().__init__(clip, class_texts, settings, class_names=class_names)
        inner = max(1, clip.embed_dim // REDUCTION)
        self.meta_net = nn.Sequential(
            nn.Linear(clip.embed_dim, inner), nn.ReLU(), nn.Linear(inner, clip.text_width)
        )

    def forward(self, frames: Tensor, class_weights: Tensor | None = None) -> Tensor:  # noqa: ARG002 - has none
        """Normalised frames (clips, T, 3, H, W) -> logits (clips, classes), ignoring `class_weights`."""
        video = self.video_features(self.frame_features(frames)).float()  # (clips, width)
        if torch.compiler.is_exporting():  # the exported graph must not depend on the number of parts
            return self.conditioned_logits(F.normalize(video, dim=-1))
        clips = max(1, PROMPTS_AT_ONCE // len(self.prompt_learner.ends))
        parts = torch.split(F.normalize(video, dim=-1), clips)
        return torch.cat([self.conditioned_logits(part) for part in parts])

    def class_weights(self) -> Tensor:
        """Empty: class weights depend on the clip."""
        return torch.empty(0)

    def class_weights_shape(self) -> tuple[int, ...]:
        """(0,): class weights depend on the clip."""
        return (0,)

    def conditioned_logits(self, video: Tensor) -> Tensor:
        """Logits (clips, classes) of video features (clips, width) of unit norm, with class weights per clip.

        The text tower's activations are recomputed for the gradient instead of stored for the whole batch.
        """
        shifts = self.meta_net(video)  # (clips, text width)
        if torch.is_grad_enabled():
            members = checkpoint(self._member_weights, shifts, use_reentrant=False, preserve_rng_state=False)
        else:
            members = self._member_weights(shifts)
        weights = self.members.weights(members)  # (clips, classes, width)
        with torch.autocast(video.device.type, enabled=False):
            cosines = (weights.float() @ video[:, :, None])[..., 0]  # (clips, classes)
            return self.members.cosines(cosines) / self.divisor()

    def _member_weights(self, shifts: Tensor) -> Tensor:
        return self.prompt_learner.member_weights(self.text_tower, shifts)

    def trained_parameters(self) -> dict[str, list[nn.Parameter]]:
        """As in DferClip; the meta-net belongs to the part `context`."""
        parts = super().trained_parameters()
        return {**parts, "context": [*parts["context"], *self.meta_net.parameters()]}
