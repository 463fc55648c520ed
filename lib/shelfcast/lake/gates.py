"""Gates between what a step has made and what readers see: what lies too far from what came before is not written.

Each gate is a limit in the section ``gates``; null opens it. A step that fails at one leaves the last good slice in
place, and is run again by the next command.
"""

import math
from collections.abc import Sequence
from statistics import median

from shelfcast.errors import GateFailed

FEWEST_BEFORE = 4  # periods, without which nobody knows what is usual
_SMOOTHING = 1e-4


def near(
    what: str, found: float, before: Sequence[float], times: float | None, *, key: str, least: float = 0.0
) -> None:
    """Check that a figure is at most ``times`` the median of earlier ones, and at least that part of it.

    Args:
        key: of the limit, in the section ``gates``.
        least: a median below this says nothing.

    Raises:
        GateFailed: with what was found and what was expected.
    """
    if times is None or len(before) < FEWEST_BEFORE:
        return
    usual = median(before)
    if usual < max(least, 1e-9) or usual / times <= found <= usual * times:
        return
    raise GateFailed(
        f"{what}: {found:,.0f}, expected {usual / times:,.0f} to {usual * times:,.0f}, because the median of the "
        f"{len(before)} before is {usual:,.0f}; {_way_out(key)}"
    )


def alike(what: str, found: float, before: Sequence[float], apart: float | None, *, key: str) -> None:
    """Check that a share is within ``apart`` of the median of earlier ones.

    Raises:
        GateFailed: with what was found and what was expected.
    """
    if apart is None or len(before) < FEWEST_BEFORE or abs(found - median(before)) <= apart:
        return
    usual = median(before)
    low, high = max(0.0, usual - apart), min(1.0, usual + apart)
    raise GateFailed(
        f"{what}: {found:.1%}, expected {low:.1%} to {high:.1%}, because the median of the {len(before)} before is "
        f"{usual:.1%}; {_way_out(key)}"
    )


def stable(what: str, before: Sequence[float], now: Sequence[float], most: float | None, *, key: str) -> None:
    """Check that counts by class have not shifted by more than a population stability index of ``most``.

    Raises:
        GateFailed: with the index and the class that moved most.
    """
    if most is None or not sum(before) or not sum(now):
        return
    index = stability_index(before, now)
    if index > most:
        shares = ", ".join(f"{a / sum(before):.0%} → {b / sum(now):.0%}" for a, b in zip(before, now, strict=True))
        raise GateFailed(
            f"{what}: shifted by a population stability index of {index:.2f}, expected at most {most:g} ({shares}); "
            f"{_way_out(key)}"
        )


def stability_index(before: Sequence[float], now: Sequence[float]) -> float:
    """The population stability index: the sum over classes of (q - p) ln(q / p), with shares p before and q now.

    Siddiqi, Credit Risk Scorecards (2005): below .1 nothing has changed, above .25 much has.
    """
    pairs = [(a / sum(before) + _SMOOTHING, b / sum(now) + _SMOOTHING) for a, b in zip(before, now, strict=True)]
    return sum((q - p) * math.log(q / p) for p, q in pairs)


def _way_out(key: str) -> str:
    return (
        f"nothing was written, readers see what they saw. If the logs are right, run again with --set gates.{key}=null"
    )
