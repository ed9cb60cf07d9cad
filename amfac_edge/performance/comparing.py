"""Two receipts: whether they may be compared, what differs between them, and the ratio with its interval.

The interval is a bootstrap of the ratio of the medians (Efron & Tibshirani, "An Introduction to the Bootstrap", 1993).
Samples of one series follow each other and are not independent, so blocks of neighbours are drawn, not samples. It
tells how well these two runs know their own medians; how much a third run would differ, no two receipts can tell.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from amfac_edge.errors import InputError
from amfac_edge.performance.paper_mode import declared_mode, throttling_of
from amfac_edge.performance.steadiness import MOST_DRIFT_PERCENT, drift_percent
from amfac_edge.performance.timing import BUSY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from amfac_edge.performance.receipts import Receipt

__all__ = ["Comparability", "Ratio", "comparability", "doubts_of", "ratio_of"]

_SEED = 0
_LEVEL = 0.95
# Fewer draws of longer series: some seconds are enough for an interval.
_MOST_DRAWS, _FEWEST_DRAWS, _SAMPLES_IN_ALL = 2000, 200, 40_000_000
# What a comparison may be about; when two of them differ, the ratio has no single cause.
_SUBJECTS = ("machine", "power mode", "governor", "model", "precision", "engine", "waiting", "provider", "artefact")
# The others follow from these, or change no time by themselves: a new release of the engine is a library's as well.
_CAUSES = frozenset(_SUBJECTS) - {"provider", "artefact"}
# How long a series is, and how it begins, by the switches.
_LENGTH = ("mode", "seconds", "iterations", "warmup")
# By simulation the interval holds the truth in 91 of 100 cases of 3 samples, and as it says from 10 on.
_FEWEST_SAMPLES = 10
# The same in both, or the figures are of different things.
_SAME = ("frame", "people")
# Whose drift is looked at.
_WHOLE = ("frame", "engine", "eager_frame", "eager")
_SAME_SWITCHES = ("input", "crops", "device", "boundary")


@dataclass(frozen=True)
class Comparability:
    """Whether two receipts may be compared.

    Attributes:
        boundaries: that both have; the ratio is of one of them.
        obstacles: why not, a sentence each; empty where they may be.
        differences: what the comparison is about: "precision: fp16, int8".
        doubts: what makes the ratio worth less, a sentence each.
    """

    boundaries: tuple[str, ...]
    obstacles: tuple[str, ...]
    differences: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        """Whether the figures are of the same thing."""
        return not self.obstacles


@dataclass(frozen=True)
class Ratio:
    """How many times as fast the second one is, by medians; the interval holds the true ratio with 95 % confidence.

    Its ends are None where one of the series has too few samples for one.
    """

    boundary: str
    first_ms: float
    second_ms: float
    ratio: float
    low: float | None
    high: float | None

    @property
    def is_clear(self) -> bool:
        """Whether there is an interval, and it lies on one side of 1."""
        return self.low is not None and self.high is not None and not self.low <= 1 <= self.high


def comparability(first: Receipt, second: Receipt, boundary: str | None = None) -> Comparability:
    """Whether two receipts may be compared; `boundary` names the one that is meant, None for any."""
    common = tuple(name for name in first.series if name in second.series)
    obstacles = []
    if boundary is not None and boundary not in common:
        having = [", ".join(receipt.series) for receipt in (first, second)]
        obstacles.append(f'different boundaries: "{boundary}" is not in both ({having[0]} and {having[1]})')
    elif not common:
        obstacles.append(f"different boundaries: {', '.join(first.series)} and {', '.join(second.series)}")
    for name in _SAME:
        obstacles += _unequal(name, getattr(first.conditions, name), getattr(second.conditions, name))
    for name in _SAME_SWITCHES:
        obstacles += _unequal(name, first.switches.get(name), second.switches.get(name))
    for place, receipt in (("first", first), ("second", second)):
        obstacles += [f"the {place} one was throttled: {reason}" for reason in throttling_of(receipt)]
    pairs = {name: (_subject(first, name), _subject(second, name)) for name in _SUBJECTS}
    pairs |= {"length": (_length(first), _length(second))} | _libraries(first, second)
    differences = [f"{name}: {one}, {other}" for name, (one, other) in pairs.items() if one != other]
    return Comparability(common, tuple(obstacles), tuple(differences), tuple(_doubts(first, second, differences)))


def ratio_of(first: Receipt, second: Receipt, boundary: str) -> Ratio:
    """How many times as fast the second one is at a boundary that both have.

    Raises:
        InputError: a median of the second one is 0.
    """
    one, other = (np.asarray(receipt.series[boundary].samples_ms, np.float64) for receipt in (first, second))
    medians = float(np.median(one)), float(np.median(other))
    if medians[1] == 0.0:
        raise _no_ratio(boundary)
    ratio = medians[0] / medians[1]
    if min(len(one), len(other)) < _FEWEST_SAMPLES:
        return Ratio(boundary, *medians, ratio=ratio, low=None, high=None)
    draws = max(_FEWEST_DRAWS, min(_MOST_DRAWS, _SAMPLES_IN_ALL // (len(one) + len(other))))
    rng = np.random.default_rng(_SEED)
    ones, others = _block_medians(one, draws, rng), _block_medians(other, draws, rng)
    if not others.all():
        raise _no_ratio(boundary)
    ratios = ones / others
    outside = (1 - _LEVEL) / 2
    low, high = np.quantile(ratios, [outside, 1 - outside])
    return Ratio(boundary, *medians, ratio=ratio, low=float(low), high=float(high))


def _no_ratio(boundary: str) -> InputError:
    return InputError(
        f'"{boundary}": half of the samples of the second one are 0 ms, of which there is no ratio',
        cure="Name another boundary: --boundary NAME.",
    )


def _block_medians(samples: NDArray[np.float64], draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(draws,) medians of series made of blocks of `samples` (N,), drawn with repetition; the end joins the start."""
    count = len(samples)
    length = max(1, round(count ** (1 / 3)))
    blocks = -(-count // length)
    medians = np.empty(draws)
    for draw in range(draws):
        starts = rng.integers(0, count, blocks)
        places = (starts[:, None] + np.arange(length)).ravel()[:count] % count
        medians[draw] = np.median(samples[places])
    return medians


def _unequal(name: str, one: object, other: object) -> list[str]:
    return [] if one == other else [f"{name} {_shown(one)} and {_shown(other)}"]


def _shown(value: object) -> str:
    return "unknown" if value is None else str(value)


def _subject(receipt: Receipt, name: str) -> str:
    conditions = receipt.conditions
    known = {
        "machine": f"{receipt.target or 'unknown'} ({conditions.processor})",
        "power mode": declared_mode(receipt),
        "governor": conditions.governor,
        "model": conditions.recipe,
        "precision": conditions.precision,
        "engine": f"{conditions.engine}, {conditions.threads} threads",
        "waiting": f"{'spinning' if conditions.spinning else 'not spinning'}, {_shown(receipt.switches.get('wait'))}",
        "provider": conditions.provider,
        "artefact": f"{conditions.artefact} {conditions.sha256[:12]}",
    }
    return _shown(known[name])


def _length(receipt: Receipt) -> str:
    known = {name: receipt.switches.get(name) for name in _LENGTH}
    return " ".join(f"{name} {value}" for name, value in known.items() if value is not None) or "unknown"


def _libraries(first: Receipt, second: Receipt) -> dict[str, tuple[str, str]]:
    """The versions by library, of those that either names."""
    one, other = first.conditions.versions, second.conditions.versions
    return {name: (_shown(one.get(name)), _shown(other.get(name))) for name in sorted({*one, *other})}


def _doubts(first: Receipt, second: Receipt, differences: Sequence[str]) -> list[str]:
    doubts = []
    causes = [line for line in differences if line.partition(":")[0] in _CAUSES]
    if len(causes) > 1:
        doubts.append(f"{len(causes)} things differ at once: the ratio has no single cause")
    for place, receipt in (("first", first), ("second", second)):
        doubts += doubts_of(receipt, f"the {place} one")
    if first.before and second.before and _pinned(first) != _pinned(second):
        doubts.append("the GPU's clock was pinned in one of them only")
    return doubts


def doubts_of(receipt: Receipt, which: str) -> list[str]:
    """What makes a receipt's own figures worth less: others on the CPU, drift; `which` is its name in a sentence."""
    doubts = []
    busy = receipt.findings.get("busy")
    # A whole number of hundreds of digits has no float.
    if not isinstance(busy, int | float) or not abs(busy) <= sys.float_info.max:
        doubts.append(f"{which} doesn't know what others took of the CPU")
    elif busy > BUSY:
        doubts.append(f"while {which} was taken others used {busy:.0%} of a core")
    for name in (name for name in _WHOLE if name in receipt.series):
        drift = drift_percent(receipt.series[name].samples_ms)
        if drift is not None and abs(drift) > MOST_DRIFT_PERCENT:
            doubts.append(f"{name} of {which} drifted by {drift:+.1f} % from its first to its last third")
    return doubts


def _pinned(receipt: Receipt) -> bool | None:
    clock = receipt.before.get("gpu_clock")
    return clock.get("min_mhz") == clock.get("max_mhz") if isinstance(clock, dict) else None
