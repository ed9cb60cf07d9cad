"""From an artefact to an engine, wherever one can be built: here, for elsewhere, or by a kit that builds it there."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from amfac_edge.artefact import RTX, TENSORRT
from amfac_edge.compiler import BuildOptions, has_builder, plan_from_artefact
from amfac_edge.compiler.forms import plan_for_this_machine
from amfac_edge.serving import plan_over_ssh, write_kit
from amfac_edge.sessions.host import this_host

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from amfac_edge.compiler import BuildProgress, BuiltPlan
    from amfac_edge.declared.target import Target
    from amfac_edge.serving import Board

__all__ = ["Engine", "Order", "build_engine", "build_engine_on_board"]

_DEFAULTS = BuildOptions()
_NOTHING: Mapping[str, bytes] = MappingProxyType({})


@dataclass(frozen=True)
class Engine:
    """What an artefact for a GPU became.

    Attributes:
        plan: built here, or on `board`; None where nothing here builds for the target.
        kit: builds a plan of TensorRT proper on the target; None where `plan` is one already.
        board: that built the plan over ssh.
        beside: what else it sent: the build's log, layer information, measurements.
        remark: why there is no plan, where one could have been expected.
        options: what a build is told, here or by the kit.
    """

    plan: BuiltPlan | None
    kit: Path | None
    board: Board | None = None
    beside: tuple[Path, ...] = ()
    remark: str = ""
    options: BuildOptions = _DEFAULTS


@dataclass(frozen=True)
class Order:
    """What is asked of an engine besides its artefact and target.

    Attributes:
        options: what a build here is told.
        words: the same for a kit's build.py.
        beside: of `Exported`: what the machine that builds gets with the artefact.
        cards: that one plan of TensorRT-RTX shall serve; none for the target alone.
        shared: a plan of TensorRT-RTX that serves the target already.
    """

    options: BuildOptions = _DEFAULTS
    words: Sequence[str] = ()
    beside: Mapping[str, bytes] = field(default_factory=dict)
    cards: Sequence[Target] = ()
    shared: BuiltPlan | None = None


_PLAIN = Order()


def build_engine(
    artefact: Path,
    target: Target,
    order: Order = _PLAIN,
    *,
    progress: Callable[[BuildProgress], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Engine:
    """Build what can be built of an artefact for `target`, a board or a card, beside it.

    On the target itself, with TensorRT's bindings: its plan. Elsewhere a kit, and for RTX cards, where TensorRT-RTX is
    installed, a plan of that as well: it needs no GPU to build, and loads in the same release only.

    Args:
        artefact: `.onnx` of amfac-export with its manifest.
        target: of the kind "jetson" or "rtx".
        order: the rest of what is asked.
        progress: called with how far a build is.
        say: called with a line at each step of a build here.

    Raises:
        AmfacError: as `plan_from_artefact` and `write_kit`.
    """
    folder = artefact.parent
    if has_builder(TENSORRT) and this_host().target == target.name:
        with tempfile.TemporaryDirectory(prefix="amfac-beside-") as scratch:
            for name, content in order.beside.items():
                Path(scratch, name).write_bytes(content)
            plan = plan_for_this_machine(
                artefact, target, folder, beside=Path(scratch), options=order.options, progress=progress, say=say
            )
        return Engine(plan, None)
    kit = write_kit(artefact, target, folder, words=order.words, beside=order.beside)
    if order.shared is not None or target.kind != "rtx" or not has_builder(RTX):
        return Engine(order.shared, kit, options=order.options)
    if order.options.version_compatible:
        remark = "TensorRT-RTX builds no version-compatible plan; the kit does, on the card"
        return Engine(None, kit, remark=remark, options=order.options)
    plan = plan_from_artefact(artefact, order.cards or [target], folder, options=order.options, progress=progress)
    return Engine(plan, kit, options=order.options)


def build_engine_on_board(
    artefact: Path,
    target: Target,
    board: Board,
    words: Sequence[str],
    *,
    beside: Mapping[str, bytes] = _NOTHING,
    say: Callable[[str], None],
) -> Engine:
    """Build the plan of an artefact on a board over ssh, and bring it here, beside the artefact.

    Args:
        artefact: `.onnx` of amfac-export with its manifest.
        target: what the board is.
        board: where ssh reaches it.
        words: for build.py there.
        beside: of `Exported`.
        say: called with each line of progress.

    Raises:
        AmfacError: as `plan_over_ssh`.
    """
    brought = plan_over_ssh(artefact, target, board, build_arguments=words, beside=beside, say=say)
    return Engine(brought.plan, None, board, brought.beside)
