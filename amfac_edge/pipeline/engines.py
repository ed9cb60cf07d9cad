"""From an artefact to an engine, wherever one can be built: here, for elsewhere, or by a kit that builds it there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.artefact import RTX, TENSORRT
from amfac_edge.compiler import BuildOptions, has_builder, plan_from_artefact
from amfac_edge.serving import write_kit
from amfac_edge.sessions.host import this_host

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.compiler import BuiltPlan
    from amfac_edge.declared.target import Target

__all__ = ["Engine", "build_engine"]

_DEFAULTS = BuildOptions()


@dataclass(frozen=True)
class Engine:
    """What an artefact for a GPU became.

    Attributes:
        plan: built here; None where nothing here builds for the target.
        kit: builds a plan of TensorRT proper on the target; None where `plan` is one already.
    """

    plan: BuiltPlan | None
    kit: Path | None


def build_engine(artefact: Path, target: Target, options: BuildOptions = _DEFAULTS) -> Engine:
    """Build what can be built of an artefact for `target`, a board or a card, beside it.

    On the target itself, with TensorRT's bindings: its plan. Elsewhere a kit, and for RTX cards, where TensorRT-RTX is
    installed, a plan of that as well: it needs no GPU to build, and loads in the same release only.

    Args:
        artefact: `.onnx` of amfac-export with its manifest.
        target: of the kind "jetson" or "rtx".
        options: what else a build is told.

    Raises:
        AmfacError: as `plan_from_artefact` and `write_kit`.
    """
    if has_builder(TENSORRT) and this_host().target == target.name:
        plan = plan_from_artefact(artefact, [target], artefact.parent, flavour=TENSORRT, options=options)
        return Engine(plan, None)
    kit = write_kit(artefact, target, artefact.parent)
    if target.kind == "rtx" and has_builder(RTX):
        return Engine(plan_from_artefact(artefact, [target], artefact.parent, flavour=RTX, options=options), kit)
    return Engine(None, kit)
