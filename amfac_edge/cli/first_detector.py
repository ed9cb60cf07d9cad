"""What amfac-run does with a detector as its authors export it: amfac-export makes the artefact, once.

So there is one way from any detector's outputs to people, the one that parity was checked of. It runs as a command of
its own, since it needs packages that a board hasn't.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import amfac_edge
from amfac_edge import errors
from amfac_edge.artefact import manifest_from_metadata, manifest_path, read_manifest
from amfac_edge.artefact.detector_facts import outputs_of_detector
from amfac_edge.artefact.onnx_header import read_onnx_header
from amfac_edge.children import own_command
from amfac_edge.errors import AmfacError, MachineError, ModelFileError, typed
from amfac_edge.files import cache_folder, sha256_of

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["detector_to_run"]

_DIGEST_KEPT = 16
_SECONDS = 900.0


def detector_to_run(path: Path) -> Path:
    """The artefact of a detector: the file itself, or what becomes of it, kept in the user's cache.

    It is found there by the file's digest and the version of this package.

    Raises:
        AmfacError: what amfac-export says of the file; or this machine lacks what that needs.
    """
    if not _is_raw(path):
        return path
    folder = cache_folder("detectors") / f"{sha256_of(path)[:_DIGEST_KEPT]}-{amfac_edge.__version__}"
    artefact = folder / f"{path.stem}.cpu.fp32.onnx"
    if _is_sound(artefact):
        _say(f"{path} runs as {artefact}, which was made before")
        return artefact
    _say(f"{path} is a detector as its authors export it: making the artefact that runs, once")
    _export(path, folder)
    _say(f"{path} runs as {artefact}")
    return artefact


def _is_raw(path: Path) -> bool:
    """Whether it is an ONNX with a detector's outputs, and no artefact; whoever opens it says what else is wrong."""
    if path.suffix != ".onnx" or not path.is_file() or manifest_path(path).exists():
        return False
    try:
        header = read_onnx_header(path)
        if manifest_from_metadata(header.metadata, where=str(path)) is not None:
            return False
    except AmfacError:
        return False
    return outputs_of_detector([one.name for one in header.outputs], [one.shape for one in header.outputs])


def _is_sound(artefact: Path) -> bool:
    try:
        read_manifest(artefact)
    except AmfacError:
        return False
    return True


def _export(path: Path, folder: Path) -> None:
    words = [str(path), "--target", "cpu", "--out", str(folder), "--json"]
    command = [*own_command("amfac_edge.cli.export:main"), *words]
    by_hand = f"Or make it where they are, and bring both files: amfac-export {typed(path.name)} --target cpu"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603 - our own
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"{path}: its export took longer than {_SECONDS:.0f} s", cure=by_hand) from error
    if done.returncode == 0:
        return
    told = _told(done.stdout)
    kind = getattr(errors, str(told.get("error")), None)
    if not (isinstance(kind, type) and issubclass(kind, AmfacError)):
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise ModelFileError(f"{path}: amfac-export ended with code {done.returncode}: {last}", cure=by_hand)
    cure = str(told.get("cure"))
    raise kind(str(told.get("problem")), cure=f"{cure}\n  {by_hand}" if issubclass(kind, MachineError) else cure)


def _told(output: str) -> dict[str, object]:
    try:
        value = json.loads((output.strip().splitlines() or ["null"])[-1])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
