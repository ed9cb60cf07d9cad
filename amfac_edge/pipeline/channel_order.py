"""Whether calibrating crops come to the network with red and blue in their places.

Ranges are one number a tensor: those of exchanged channels are nearly the same, and INT8 made with them loses nothing
that held-out people could show. The network itself sees it: it is surer the right way round.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.accuracy.pck import pck
from amfac_edge.errors import GateError
from amfac_edge.graph.parity import normalised
from amfac_edge.keypoints import SimccCode
from amfac_edge.pipeline.judging import predictions_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from amfac_edge.accuracy import Predictions
    from amfac_edge.datasets import PeopleSet
    from amfac_edge.pipeline.sources import Source
    from amfac_edge.quantization.people import Calibration

__all__ = ["ChannelOrder", "channel_order", "check_channel_order"]

_CROPS = 64
# 1 in 16,000 by chance, of independent crops and a network that doesn't mind. Frames of one video are not independent:
# so much surer must it be besides. The released networks are by 1.2 to 1.5 on photographs of people that fill them.
_SURE, _MUCH = 4.0, 1.1


@dataclass(frozen=True)
class ChannelOrder:
    """What a network makes of calibrating crops as they are, and with red and blue exchanged.

    Attributes:
        crops: how many were run, spread over those who calibrate.
        scores: mean score of the joints, as they are and exchanged.
        preference: for the crops as they are: the mean difference of a person's scores, in its standard errors.
        pck: PCK at a tenth of the box's longer side, 0 to 1, as they are and exchanged; None where nobody is labelled.
    """

    crops: int
    scores: tuple[float, float]
    preference: float
    pck: tuple[float, float] | None

    @property
    def told(self) -> bool:
        """Whether the network tells one way from the other, beyond chance."""
        return abs(self.preference) > _SURE and max(self.scores) > _MUCH * min(self.scores)

    @property
    def holds(self) -> bool:
        """False where the network prefers the channels exchanged, and no labelled joints say otherwise."""
        return not self.told or self.preference > 0 or (self.pck is not None and self.pck[0] > self.pck[1])

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return dataclasses.asdict(self) | {"told": self.told}


def channel_order(
    source: Source, chosen: Calibration, crops: NDArray[np.uint8], *, say: Callable[[str], None] = lambda _: None
) -> ChannelOrder | None:
    """Run some of the calibrating crops both ways.

    Args:
        source: of the network.
        chosen: whose people calibrate.
        crops: theirs, (N,H,W,3) uint8 BGR.
        say: called with a line before it, since a large network takes half a minute.

    Returns:
        None for weights that were never trained, which have no say in it.
    """
    if source.trained is False:
        return None
    some = np.linspace(0, len(crops) - 1, min(_CROPS, len(crops))).round().astype(np.intp)
    say(f"are red and blue in their places? {len(some)} crops as they are, and with them exchanged")
    people = chosen.people.chosen(some)
    given, exchanged = (_found(source, people, each) for each in (crops[some], crops[some][..., ::-1]))
    difference = given.scores - exchanged.scores
    error = float(difference.std(ddof=1)) / len(some) ** 0.5
    return ChannelOrder(
        crops=len(some),
        scores=(float(given.scores.mean()), float(exchanged.scores.mean())),
        preference=float(difference.mean()) / error if error else 0.0,
        pck=(pck(people, given).value, pck(people, exchanged).value) if people.labelled.any() else None,
    )


def check_channel_order(
    source: Source, chosen: Calibration, crops: NDArray[np.uint8], *, say: Callable[[str], None] = lambda _: None
) -> ChannelOrder | None:
    """`channel_order` of crops, (N,H,W,3), and raise where the network prefers the channels exchanged.

    Args:
        source: of the network.
        chosen: whose people calibrate.
        crops: theirs, (N,H,W,3) uint8 BGR.
        say: called with a line before it.

    Raises:
        GateError: it does.
    """
    order = channel_order(source, chosen, crops, say=say)
    if order is None or order.holds:
        return order
    given, exchanged = order.scores
    raise GateError(
        f"calibration set {chosen.name}: {source.recipe.name} is surer of its people with red and blue exchanged: mean "
        f"score {exchanged:.3g} instead of {given:.3g} on {order.crops} crops",
        cure="Its pictures were written with their channels in the wrong order (OpenCV writes BGR), or the network was "
        "trained with BGR, and the runtime gives it RGB. amfac-calibrate --check SET --sheet people.png shows them."
        + ("" if order.pck else " Where they are right, label their joints: those that are found better decide."),
    )


def _found(source: Source, people: PeopleSet, crops: NDArray[np.uint8]) -> Predictions:
    recipe = source.recipe
    logits = source.model.logits(normalised(crops, recipe))
    return predictions_of(people, recipe, *SimccCode.of(recipe).decode(*logits, recipe.temperature))
