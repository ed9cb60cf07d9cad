"""From an artefact to an engine, wherever one can be built: here, for elsewhere, or by a kit that builds it there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.artefact import RTX, TENSORRT
from amfac_edge.compiler import BuildOptions, has_builder, plan_from_artefact
from amfac_edge.serving import plan_over_ssh, write_kit
from amfac_edge.sessions.host import this_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from amfac_edge.compiler import BuildProgress, BuiltPlan
    from amfac_edge.declared.target import Target
    from amfac_edge.serving import Board

__all__ = ["Engine", "build_engine", "build_engine_on_board"]

_DEFAULTS = BuildOptions()


@dataclass(frozen=True)
class Engine:
    """What an artefact for a GPU became.

    Attributes:
        plan: built here, or on `board`; None where nothing here builds for the target.
        kit: builds a plan of TensorRT proper on the target; None where `plan` is one already.
        board: that built the plan over ssh.
        beside: what else it sent: the build's log, layer information, measurements.
        remark: why there is no plan, where one could have been expected.
    """

    plan: BuiltPlan | None
    kit: Path | None
    board: Board | None = None
    beside: tuple[Path, ...] = ()
    remark: str = ""


def build_engine(
    artefact: Path,
    target: Target,
    options: BuildOptions = _DEFAULTS,
    *,
    words: Sequence[str] = (),
    progress: Callable[[BuildProgress], None] | None = None,
) -> Engine:
    """Build what can be built of an artefact for `target`, a board or a card, beside it.

    On the target itself, with TensorRT's bindings: its plan. Elsewhere a kit, and for RTX cards, where TensorRT-RTX is
    installed, a plan of that as well: it needs no GPU to build, and loads in the same release only.

    Args:
        artefact: `.onnx` of amfac-export with its manifest.
        target: of the kind "jetson" or "rtx".
        options: what else a build is told.
        words: the same for a kit's build.py.
        progress: called with how far a build is.

    Raises:
        AmfacError: as `plan_from_artefact` and `write_kit`.
    """
    if has_builder(TENSORRT) and this_host().target == target.name:
        return Engine(_plan(artefact, target, TENSORRT, options, progress), None)
    kit = write_kit(artefact, target, artefact.parent, words=words)
    if target.kind != "rtx" or not has_builder(RTX):
        return Engine(None, kit)
    if options.version_compatible:
        return Engine(None, kit, remark="TensorRT-RTX builds no version-compatible plan; the kit does, on the card")
    return Engine(_plan(artefact, target, RTX, options, progress), kit)


def _plan(
    artefact: Path,
    target: Target,
    flavour: str,
    options: BuildOptions,
    progress: Callable[[BuildProgress], None] | None,
) -> BuiltPlan:
    folder = artefact.parent
    return plan_from_artefact(artefact, [target], folder, flavour=flavour, options=options, progress=progress)


def build_engine_on_board(
    artefact: Path, target: Target, board: Board, words: Sequence[str], *, say: Callable[[str], None]
) -> Engine:
    """Build the plan of an artefact on a board over ssh, and bring it here, beside the artefact.

    Args:
        artefact: `.onnx` of amfac-export with its manifest.
        target: what the board is.
        board: where ssh reaches it.
        words: for build.py there.
        say: called with each line of progress.

    Raises:
        AmfacError: as `plan_over_ssh`.
    """
    brought = plan_over_ssh(artefact, target, board, build_arguments=words, say=say)
    return Engine(brought.plan, None, board, brought.beside)
