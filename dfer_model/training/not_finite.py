"""What to say of a loss that is not finite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CLIPS_NAMED = 10


def not_finite(
    what: str, where: str, clips: Sequence[str], learning_rates: Mapping[str, float], precision: str
) -> str:
    """Two lines: `what` it is and where, on which clips, and what may help; rates stand by their setting."""
    named = ", ".join(clips[:CLIPS_NAMED])
    more = f" and {len(clips) - CLIPS_NAMED} more" if len(clips) > CLIPS_NAMED else ""
    rates = ", ".join(f"{name}={rate:g}" for name, rate in learning_rates.items())
    bf16 = ", or --set precision=fp32" if precision == "bf16" else ""
    return (
        f"{what} in {where}, on the clips {named}{more}\n"
        f"Try lower learning rates than {rates} (--set {next(iter(learning_rates))}=...){bf16}"
    )
