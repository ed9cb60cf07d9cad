"""An ONNX artefact on the board or card that it is for: it runs as a plan, which the first run builds and keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from amfac_edge.artefact import (
    FP16,
    RTX,
    TENSORRT,
    Outcome,
    examine,
    manifest_beside,
    manifest_path,
    read_manifest,
    takes_both_forms,
)
from amfac_edge.artefact.plan_header import read_plan_header
from amfac_edge.compiler.bindings import has_builder, load_bindings
from amfac_edge.compiler.forms import FLAG_FORM_FILE, plan_for_this_machine
from amfac_edge.compiler.options import BuildOptions
from amfac_edge.compiler.plans import plan_from_artefact, plan_name
from amfac_edge.compiler.timing_cache import cache_name
from amfac_edge.declared.target import load_target
from amfac_edge.errors import AmfacError, MissingExtraError
from amfac_edge.files import cache_folder, sha256_of
from amfac_edge.sessions.cuda import installed_library
from amfac_edge.sessions.host import this_host

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from amfac_edge.artefact import Host, Manifest
    from amfac_edge.compiler.progress import BuildProgress
    from amfac_edge.declared.target import Target

__all__ = ["RunPlan", "plan_for_run"]

_DEFAULTS = BuildOptions()
_DIGEST_KEPT = 16


@dataclass(frozen=True)
class RunPlan:
    """What an ONNX artefact runs as.

    Attributes:
        path: of its plan; None where it runs as it is.
        built: the plan was built just now.
        reason: why there is no plan of a file that is for a GPU.
    """

    path: Path | None
    built: bool = False
    reason: str = ""


def plan_for_run(
    artefact: Path,
    *,
    kit: Path | None = None,
    target: Target | None = None,
    options: BuildOptions = _DEFAULTS,
    progress: Callable[[BuildProgress], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> RunPlan:
    """The plan that an ONNX artefact runs as here: one beside it, one that an earlier run kept, or a new one.

    New ones are kept in the user's cache, by artefact, TensorRT and power mode. Nobody has seen this on a board.

    Args:
        artefact: any file; one that is no artefact of poses in crops or frames, with its manifest, has no plan.
        kit: unpacked kit that it is of, whose trial and other form of FP16 a build takes.
        target: of that kit; None for the declared one of the artefact's target.
        options: what a build is told.
        progress: as of `plan_from_artefact`.
        say: called with a line at the start of a build.

    Raises:
        ModelFileError: the artefact isn't its manifest's, or TensorRT refuses it.
        AmfacError: as `plan_for_this_machine`.
    """
    host = this_host()
    if not host.gpus:
        return RunPlan(None, reason=_without_gpu(artefact))
    manifest = _described(artefact)
    if manifest is None:
        return RunPlan(None)
    flavour = _flavour(host)
    if reason := _lacking(manifest, host, flavour):
        return RunPlan(None, reason=reason)
    version = str(load_bindings(flavour).__version__)
    target, own = target or load_target(manifest.target), manifest.digests["artefact"]
    kept = cache_folder("plans") / cache_name(own[:_DIGEST_KEPT], f"{flavour}-{version}", host.power_mode or "no mode")
    name = plan_name(artefact, flavour, [target])
    links = {own, *([sha256_of(kit / FLAG_FORM_FILE)] if kit and (kit / FLAG_FORM_FILE).is_file() else [])}
    for path in (artefact.with_name(name), kept / name):
        if _serves(path, host, links, version):
            return RunPlan(path)
    say(f"the first run here builds the plan, and keeps it in {kept}")
    if kit is None and manifest.precision == FP16 and takes_both_forms(version):
        say(
            f"TensorRT {version} takes FP16 in two forms, and this is the typed one, untried: the kit of this export "
            "builds both, tries them, and keeps the faster that is right"
        )
    if flavour == RTX:
        built = plan_from_artefact(artefact, [target], kept, options=options, progress=progress)
    else:
        beside = kit or kept
        built = plan_for_this_machine(
            artefact, target, kept, beside=beside, options=options, progress=progress, say=say
        )
    for note in built.notes:
        say(note)
    return RunPlan(built.path, built=True)


def _without_gpu(artefact: Path) -> str:
    """Why a machine without a GPU builds no plan; empty of a file that needs none."""
    try:
        described = manifest_beside(artefact) if manifest_path(artefact).is_file() else None
        target = load_target(described.target) if described else None
    except AmfacError:
        return ""  # who runs the file says what is wrong with it
    return "" if target is None or target.kind == "cpu" else f"it is for {target.title}, and no NVIDIA GPU answers here"


def _described(artefact: Path) -> Manifest | None:
    """The manifest of an artefact that plans are built of; None of any other file."""
    if read_plan_header(artefact).kind != "onnx" or not manifest_path(artefact).is_file():
        return None
    manifest = read_manifest(artefact)
    return manifest if manifest.input_kind in {"crops", "frame"} else None


def _flavour(host: Host) -> str:
    """The library that builds here: TensorRT proper, and TensorRT-RTX where a card has nothing else."""
    proper = host.l4t is not None or has_builder(TENSORRT) or not has_builder(RTX)
    return TENSORRT if proper else RTX


def _lacking(manifest: Manifest, host: Host, flavour: str) -> str:
    """Why no plan is built here; empty where one can be."""
    if host.target is None or manifest.target != host.target:
        here = host.target or "a board or card that no target is declared for"
        return f"it was exported for {manifest.target}, and this is {here}"
    if not has_builder(flavour):
        return "TensorRT's Python bindings are not here (on a Jetson: sudo apt install python3-libnvinfer)"
    try:
        installed_library()
    except MissingExtraError as error:
        return f"{error.problem} ({error.cure})"
    return ""


def _serves(path: Path, host: Host, links: set[str], version: str) -> bool:
    """Whether the plan at `path` is one of the graphs `links`, built by this very TensorRT, and loads here."""
    if not (path.is_file() and manifest_path(path).is_file()):
        return False
    examined = examine(path, host)
    described = examined.manifest
    if described is None or described.plan is None or examined.verdict.of(Outcome.REFUSED):
        return False
    return described.digests.get("onnx") in links and described.plan.tensorrt_version == version
