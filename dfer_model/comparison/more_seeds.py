"""How many more seeds would show a difference that a comparison could not show."""

from __future__ import annotations

import numpy as np

from .statistics import LEVEL, Difference

POWER = 0.8
MOST = 100  # seeds that are considered


def more_seeds(difference: Difference, seeds: int) -> int | None:
    """The number of seeds, beyond `seeds`, that detect a true difference of this size with a power of 80%.

    The smallest n with |difference| >= (t(1 - level / 2) + t(0.8)) times the standard error with n seeds, the
    variances and the correction for several pairs as they are (S. Julious, Sample Sizes for Clinical Trials,
    2009, chapter 3). None if no n up to 100 suffices, or if the seed variance is unknown.
    """
    from scipy.stats import t

    noise = difference.noise
    if noise is None or noise.degrees is None:
        return None
    level = LEVEL * difference.p / difference.p_holm
    numbers = np.arange(seeds + 1, MOST + 1)
    degrees = noise.degrees * (numbers - 1) / (seeds - 1)
    errors = np.sqrt(noise.clips + noise.seeds * seeds / numbers)
    enough = abs(difference.value) >= (t.isf(level / 2, degrees) + t.ppf(POWER, degrees)) * errors
    return int(numbers[enough][0]) - seeds if enough.any() else None
