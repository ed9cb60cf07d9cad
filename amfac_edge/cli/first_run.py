"""What amfac-run says of the plan that an ONNX artefact runs as on its own board or card."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from amfac_edge.cli.build_kit import kit_around
from amfac_edge.cli.build_progress import BuildLine
from amfac_edge.compiler import BuildOptions, plan_for_run
from amfac_edge.errors import GateError, MachineError, ModelFileError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["engine_to_run"]


def engine_to_run(engine: Path) -> Path:
    """The plan of an ONNX artefact where this machine has or can build one, else the file itself.

    Raises:
        AmfacError: as `plan_for_run`; the cure also says how to do without a plan.
    """
    if not engine.is_file() or engine.suffix != ".onnx":
        return engine
    try:
        kit, target, options = kit_around(engine) or (None, None, BuildOptions())
        with BuildLine() as line:
            found = plan_for_run(engine, kit=kit, target=target, options=options, progress=line, say=line.say)
    except (GateError, MachineError, ModelFileError) as error:
        raise type(error)(
            error.problem, cure=f"{error.cure}\n  Without a plan, by ONNX Runtime: --provider cpu"
        ) from error
    if found.path is None:
        if found.reason:
            _say(f"{engine} runs by ONNX Runtime on the CPU, not as a TensorRT plan: {found.reason}")
        return engine
    _say(f"{engine} runs as {found.path}{'' if found.built else ', which was built before'}")
    return found.path


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
