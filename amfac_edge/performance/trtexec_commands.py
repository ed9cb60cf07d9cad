"""The `trtexec` commands that measure a plan as we do, for its two generations, whose defaults differ.

TensorRT 8 to 10 time data transfers, wait by blocking and launch no CUDA graph unless told otherwise; TensorRT 11 is
the other way round in all three. A figure without these three switches beside it means nothing, so all are given.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.artefact import Manifest
    from amfac_edge.performance.timing import Limits

__all__ = ["trtexec_commands"]

_WARMUP_MS = 200
_LARGEST_FRAME = (1080, 1920)


def trtexec_commands(
    path: Path, manifest: Manifest, *, people: int, graphs: bool, spinning: bool, limits: Limits
) -> dict[str, str]:
    """By generation of TensorRT, the command for what the "engine" series times.

    Args:
        path: of the plan.
        manifest: of it.
        people: in one run; more than the plan takes go in several runs, of which trtexec times one.
        graphs: whether we launch CUDA graphs.
        spinning: whether we wait by spinning.
        limits: of the series.
    """
    batch = min(max(people, manifest.batch.minimum), manifest.batch.maximum)
    crop = manifest.recipe.crop
    shapes = f"crops:{batch}x{crop.height}x{crop.width}x3"
    if manifest.input_kind == "frame":
        shapes = f"frame:{_LARGEST_FRAME[0]}x{_LARGEST_FRAME[1]}x3,affines:{batch}x2x3"
    # Ours is one stream: no transfer goes on beside the next run.
    words = ["trtexec", f"--loadEngine={path}", f"--warmUp={_WARMUP_MS}", "--exposeDMA"]
    if manifest.plan is not None and manifest.plan.host_code:
        words.append("--versionCompatible")  # it loads no such plan without
    if limits.iterations is not None:
        words += [f"--iterations={limits.iterations}", "--duration=0"]
    else:
        words += [f"--duration={max(1, round(limits.seconds))}", f"--iterations={limits.fewest}"]
    if not manifest.batch.is_fixed or manifest.input_kind == "frame":
        words.append(f"--shapes={shapes}")
    old = [*words, *(["--useSpinWait"] if spinning else []), *(["--useCudaGraph"] if graphs else [])]
    new = [
        *words,
        "--includeDataTransfers",
        *([] if spinning else ["--noSpinWait"]),
        *([] if graphs else ["--noCudaGraph"]),
    ]
    return {"TensorRT 8 to 10": shlex.join(old), "TensorRT 11": shlex.join(new)}
