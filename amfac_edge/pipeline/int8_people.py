"""The people of an INT8 export: read, cropped and run through the FP32 network once, for all the graphs made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.pipeline.channel_order import check_channel_order
from amfac_edge.pipeline.judging import Judge
from amfac_edge.quantization.people import calibration_crops, calibration_people

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from amfac_edge.declared.calibration_set import CalibrationSet
    from amfac_edge.pipeline.channel_order import ChannelOrder
    from amfac_edge.pipeline.sources import Source

__all__ = ["Int8People", "int8_people"]


@dataclass(frozen=True, eq=False)
class Int8People:
    """Those who calibrate, and those who judge.

    Attributes:
        name: of the set.
        crops: (N,H,W,3) uint8 BGR of those who calibrate.
        channel_order: what the network makes of the crops' channels; None for weights that were never trained.
        judge: the others.
    """

    name: str
    crops: NDArray[np.uint8]
    channel_order: ChannelOrder | None
    judge: Judge


def int8_people(source: Source, declared: CalibrationSet, *, say: Callable[[str], None]) -> Int8People:
    """Choose the people of a set, and ask the network about them.

    Args:
        source: what is exported; its network is the reference.
        declared: the set.
        say: called with a line at each step.

    Raises:
        InputError: the set is too small, or shows nothing.
        GateError: the network is surer of the calibrating people with red and blue exchanged.
    """
    chosen = calibration_people(declared, source.recipe)
    say(f"calibrating with {len(chosen.people)} people of {chosen.name}, judged by {len(chosen.held_out)} others")
    crops = calibration_crops(chosen, source.recipe)
    order = check_channel_order(source, chosen, crops, say=say)
    return Int8People(chosen.name, crops, order, Judge(source, chosen.held_out))
