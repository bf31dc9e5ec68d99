"""Correction of p-values for several pairs of a measure, in two families.

Controls: that a set differs from every control is one claim, the intersection-union test of its pairs. Its
p-value is the largest of the pairs', each at the nominal level (R. Berger, Technometrics 24, 1982). With
several sets the claims are corrected by Holm's method. Sets: the pairs of two sets, corrected by Holm's
method separately.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np

Family = Literal["controls", "sets", "all pairs"]  # the last in files of version 0.1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value corrected for all of them: S. Holm, Scandinavian Journal of Statistics 6, 1979.

    If no difference is real, the probability that any of them is at most 0.05 is at most 0.05.
    """
    corrected = np.empty(len(p_values))
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values) * _holm_factors(p_values)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(scaled[order]))
    return [float(each) for each in corrected]


def claims(p_values: Sequence[Sequence[float]]) -> list[list[float]]:
    """Corrected p-values of pairs with controls; `p_values` holds for each set those of its pairs.

    The pair with the largest p-value of a set decides its claim, and has the claim's p-value by Holm's
    method over the sets. Its other pairs have the same factor, and no correction for the number of controls.
    """
    of_claims = [max(each) for each in p_values]
    corrected, factors = holm(of_claims), _holm_factors(of_claims)
    return [
        [of_claim if p == hardest else min(1.0, float(factor * p)) for p in each]
        for each, of_claim, hardest, factor in zip(p_values, corrected, of_claims, factors, strict=True)
    ]


def adjusted(
    pairs: Sequence[tuple[str, str]], controls: Sequence[str], p_values: Sequence[float]
) -> list[tuple[Family, float]]:
    """The family of each pair (first, second) and its corrected p-value, in order."""
    families: list[Family] = ["controls" if second in controls else "sets" for _, second in pairs]
    found: dict[tuple[str, str], float] = {}
    of_sets = [number for number, each in enumerate(families) if each == "sets"]
    for number, p in zip(of_sets, holm([p_values[number] for number in of_sets]), strict=True):
        found[pairs[number]] = p
    by_set: dict[str, list[int]] = {}
    for number, each in enumerate(families):
        if each == "controls":
            by_set.setdefault(pairs[number][0], []).append(number)
    if by_set:
        of_controls = claims([[p_values[number] for number in each] for each in by_set.values()])
        numbers = itertools.chain.from_iterable(by_set.values())
        for number, p in zip(numbers, itertools.chain.from_iterable(of_controls), strict=True):
            found[pairs[number]] = p
    return [(family, found[pair]) for family, pair in zip(families, pairs, strict=True)]


def _holm_factors(p_values: Sequence[float]) -> list[int]:
    """How many p-values are not smaller than each, ties in their order."""
    factors = np.empty(len(p_values), dtype=np.int64)
    factors[np.argsort(p_values, kind="stable")] = np.arange(len(p_values), 0, -1)
    return [int(each) for each in factors]
