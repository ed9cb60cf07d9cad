"""A plan run by NVIDIA's own trtexec: what a machine with TensorRT has that lacks CUDA's bindings for Python.

For trying a plan where it was built: values in, values out, and the times that trtexec took. Options and file formats
are those of TensorRT 8.6 to 11 (`samples/common` of NVIDIA/TensorRT); nobody has seen this run on a board.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.errors import MachineError
from amfac_edge.files import file_bytes, json_value

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

__all__ = ["TrtexecRun", "find_trtexec", "run_with_trtexec"]

# Where JetPack's packages put it, which isn't on the PATH.
_PLACES = ("/usr/src/tensorrt/bin/trtexec", "/usr/bin/trtexec", "/opt/tensorrt/bin/trtexec")
_SIZE_LIMIT = 256 << 20
_SECONDS = 180.0
_CURE = "Run the command by hand to see all that it says; amfac-doctor says what this machine lacks."


@dataclass(frozen=True, eq=False)
class TrtexecRun:
    """What one call gave.

    Attributes:
        outputs: float32 arrays by name.
        compute_ms: time on the GPU of each inference, in milliseconds.
    """

    outputs: dict[str, NDArray[np.float32]]
    compute_ms: tuple[float, ...]


def find_trtexec() -> Path | None:
    """The program, from the PATH or where JetPack has it; None where it isn't."""
    found = shutil.which("trtexec")
    places = [Path(found)] if found else [Path(place) for place in _PLACES]
    return next((place for place in places if place.is_file()), None)


def run_with_trtexec(
    program: Path,
    plan: Path,
    inputs: Mapping[str, NDArray[np.generic]],
    *,
    dynamic: Collection[str],
    host_code: bool = False,
    duration_s: float = 3.0,
) -> TrtexecRun:
    """Run `plan` on the same inputs again and again.

    Args:
        program: trtexec.
        plan: of TensorRT proper, made on this machine.
        inputs: arrays by name, within the plan's profile.
        dynamic: names of those that the profile is for, whose shapes trtexec must be told.
        host_code: the plan carries code for the CPU, as a version-compatible one does.
        duration_s: how long, at least; 0 for a single inference.

    Raises:
        MachineError: it failed, or took longer than three minutes; what it said last.
    """
    with tempfile.TemporaryDirectory(prefix="amfac-trtexec-") as folder:
        outputs, times = (Path(folder) / part for part in ("outputs.json", "times.json"))
        sources = {name: Path(folder) / f"{name}.bin" for name in inputs}
        for name, values in inputs.items():
            sources[name].write_bytes(np.ascontiguousarray(values).tobytes())
        shapes = [f"{name}:{'x'.join(map(str, values.shape))}" for name, values in inputs.items() if name in dynamic]
        command = [
            str(program),
            f"--loadEngine={plan}",
            # It lets no runtime load a plan with host code unless this option, one of its builder, is given.
            *(["--versionCompatible"] if host_code else []),
            "--loadInputs=" + ",".join(f"{name}:{source}" for name, source in sources.items()),
            *(["--shapes=" + ",".join(shapes)] if shapes else []),
            f"--exportOutput={outputs}",
            f"--exportTimes={times}",
            *(["--warmUp=500", f"--duration={duration_s:g}"] if duration_s else ["--warmUp=0", "--duration=0"]),
            f"--iterations={50 if duration_s else 1}",
        ]
        _run(command)
        return TrtexecRun(_outputs(outputs), _times(times))


def _run(command: list[str]) -> None:
    try:
        finished = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603 - no shell
    except subprocess.TimeoutExpired:
        raise MachineError(f"{command[0]}: no end after {_SECONDS:g} s", cure=_CURE) from None
    except OSError as error:
        raise MachineError(f"{command[0]}: can't be run: {error.strerror or error}", cure=_CURE) from error
    if finished.returncode != 0:
        lines = (finished.stdout + finished.stderr).decode(errors="replace").splitlines()
        said = (
            [line.strip() for line in lines if "[E]" in line] or [line for line in lines if line.strip()] or ["nothing"]
        )
        raise MachineError(f"{command[0]}: exit code {finished.returncode}: {said[-1][:300]}", cure=_CURE)


def _outputs(path: Path) -> dict[str, NDArray[np.float32]]:
    """A list of {"name", "dimensions": "4x17x2", "values"}; a value that is no number makes it no JSON."""
    try:
        return {
            entry["name"]: np.array(entry["values"], np.float32).reshape(
                [int(side) for side in entry["dimensions"].split("x")]
            )
            for entry in _entries(path)
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MachineError(f"trtexec wrote outputs that can't be read: {error}", cure=_CURE) from error


def _times(path: Path) -> tuple[float, ...]:
    try:
        return tuple(float(entry["computeMs"]) for entry in _entries(path))
    except (KeyError, TypeError, ValueError) as error:
        raise MachineError(f"trtexec wrote times that can't be read: {error}", cure=_CURE) from error


def _entries(path: Path) -> list[dict[str, Any]]:
    try:
        data = json_value(file_bytes(path, limit=_SIZE_LIMIT, what="file of trtexec"))
    except (json.JSONDecodeError, ValueError, RecursionError) as error:
        raise MachineError(f"trtexec wrote {path.name} that is no JSON: {error}", cure=_CURE) from error
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise MachineError(f"trtexec wrote {path.name} in a form that isn't known", cure=_CURE)
    return data
