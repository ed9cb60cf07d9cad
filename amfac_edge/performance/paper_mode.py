"""Whether a receipt stands for the papers' Table 4: one answer for every command that counts cells as met."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amfac_edge.declared.target import load_target, target_names

if TYPE_CHECKING:
    from amfac_edge.declared.target import Target
    from amfac_edge.performance.receipts import Receipt

__all__ = ["COUNTED_PRECISIONS", "declared_mode", "in_papers_mode", "throttling_of"]

COUNTED_PRECISIONS = ("fp16", "int8")
"""Of engines: the columns beside the paper's. In FP32 an engine is shown, and counts for none of them."""


def declared_mode(receipt: Receipt) -> str | None:
    """The target's own name of the power mode that a receipt was taken in; None where it isn't known.

    A board calls modes of its Super configuration as it calls the others: its "15W" is one or the other by how it was
    flashed, which the receipt tells.
    """
    target = _target(receipt)
    if target is None or receipt.power_mode is None:
        return receipt.power_mode
    jetson = (receipt.machine or {}).get("jetson")
    is_super = isinstance(jetson, dict) and jetson.get("super_configuration") is True
    mode = target.mode_on_board(receipt.power_mode, super_configuration=is_super)
    return mode.name if mode is not None else receipt.power_mode


def in_papers_mode(receipt: Receipt) -> bool:
    """Whether it was taken in the mode that Table 4 is held against; a machine without modes always is in it."""
    target = _target(receipt)
    return target is not None and (not target.modes or declared_mode(receipt) == target.paper_mode)


def throttling_of(receipt: Receipt) -> tuple[str, ...]:
    """What held the machine back while it ran; such a run is shown, and counts for nothing."""
    found = receipt.findings.get("throttling")
    return tuple(map(str, found)) if isinstance(found, list) else ()


def _target(receipt: Receipt) -> Target | None:
    return load_target(receipt.target) if receipt.target in target_names() else None
