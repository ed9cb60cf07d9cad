"""A plan and its manifest, made from an ONNX artefact of amfac-export: both are written, or neither."""

from __future__ import annotations

import dataclasses
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact import (
    RTX,
    Manifest,
    PlanFacts,
    ProfileRange,
    manifest_path,
    read_artefact,
    read_plan_header,
)
from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.compiler.building import BuildRequest
from amfac_edge.compiler.options import BuildOptions
from amfac_edge.errors import InputError, MachineError
from amfac_edge.files import atomic_files, refuse_overwriting, sha256_of, writable_folder
from amfac_edge.machine.packages import Packages
from amfac_edge.machine.this_machine import read_machine
from amfac_edge.sessions.host import host_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from amfac_edge.declared.target import Target

__all__ = ["BuiltPlan", "plan_from_artefact", "plan_name"]

_SUFFIX = {RTX: ".rtx.plan"}
_DEFAULTS = BuildOptions()
_DIGEST_SHOWN = 16


@dataclass(frozen=True)
class BuiltPlan:
    """A plan that was written.

    Attributes:
        path: of the plan; its manifest lies beside it.
        manifest: what it is.
        notes: what the library had to remark.
    """

    path: Path
    manifest: Manifest
    notes: tuple[str, ...]


def plan_name(artefact: Path, flavour: str, targets: Sequence[Target]) -> str:
    """The file name of a plan: the artefact's, with the targets that it serves, and what kind of plan it is."""
    stem = artefact.name.removesuffix(".onnx")
    together = "+".join(target.name for target in targets)
    for target in targets:
        # The artefact has the name of the one that it was exported for.
        if f".{target.name}." in f"{stem}.":
            stem = f"{stem}.".replace(f".{target.name}.", f".{together}.", 1).removesuffix(".")
            break
    return stem + _SUFFIX.get(flavour, ".plan")


def plan_from_artefact(
    artefact: Path,
    targets: Sequence[Target],
    out: Path,
    *,
    flavour: str = RTX,
    options: BuildOptions = _DEFAULTS,
) -> BuiltPlan:
    """Build the plan of an ONNX artefact in a child process and write it with its manifest.

    Args:
        artefact: `.onnx` of amfac-export with its manifest.
        targets: whose GPUs the plan shall run on; several for TensorRT-RTX only.
        out: folder for the plan.
        flavour: "tensorrt-rtx": builds without a GPU for the cards of `targets`. "tensorrt": builds for the GPU of this
            machine, which must be that of the one target.
        options: what else the build is told.

    Raises:
        InputError: targets that such a plan can't serve.
        ModelFileError: the artefact is damaged, was replaced, or the library refuses it.
        MachineError: the library is missing, or gave up.
        OutputError: the place can't be written to.
    """
    capabilities = _capabilities(targets, flavour)
    graph, manifest = read_artefact(artefact)
    path = writable_folder(out) / plan_name(artefact, flavour, targets)
    refuse_overwriting([path, manifest_path(path)], [artefact, manifest_path(artefact)])
    request = BuildRequest(
        flavour=flavour,
        compute_capabilities=capabilities,
        engine_name=f"amfac/1 {manifest.name} {manifest.digests['artefact'][:_DIGEST_SHOWN]}",
        profile=_profile(manifest),
        half=manifest.precision != "fp32",
        workspace_mib=_workspace(options, targets, flavour),
    )
    with tempfile.TemporaryDirectory(prefix="amfac-build-") as scratch:
        source, built = Path(scratch) / artefact.name, Path(scratch) / "plan"
        source.write_bytes(graph)
        try:
            answer = call_in_child(
                "amfac_edge.compiler.building:build_in_child",
                timeout_s=options.seconds(flavour),
                onnx=str(source),
                plan=str(built),
                request=dataclasses.asdict(request),
            )
        except ChildFailure as failure:
            raise MachineError(
                f"{artefact}: {flavour} built no plan: {failure.reason}",
                cure="Close other programs and try again; amfac-doctor says how much memory is free.",
            ) from failure
        content = built.read_bytes()
        header = read_plan_header(built)
    if header.flavour != flavour or header.fault:
        raise MachineError(
            f"{artefact}: what {flavour} {answer['version']} built is {header.title}: {header.fault or 'another kind'}",
            cure="Try again; if it stays so, report it with this version.",
        )
    described = _described(manifest, targets, request, answer, content)
    with atomic_files(manifest_path(path), path) as (manifest_part, part):
        part.write_bytes(content)
        manifest_part.write_bytes(described.as_bytes())
    return BuiltPlan(path, described, tuple(answer["notes"]))


def _capabilities(targets: Sequence[Target], flavour: str) -> tuple[str, ...]:
    kinds = {target.kind for target in targets}
    if flavour == RTX and kinds != {"rtx"}:
        other = next(target for target in targets if target.kind != "rtx")
        raise InputError(
            f"TensorRT-RTX builds no plan for {other.title}: it serves RTX cards",
            cure="A Jetson's plan is built on the board, by TensorRT proper.",
        )
    if flavour != RTX and len(targets) != 1:
        raise InputError("one TensorRT plan serves one target", cure="Build one after the other.")
    found = (target.gpu.compute_capability for target in targets if target.gpu is not None)
    return tuple(dict.fromkeys(found))


def _workspace(options: BuildOptions, targets: Sequence[Target], flavour: str) -> int | None:
    return options.workspace_mib or (None if flavour == RTX else targets[0].builder.workspace_mib)


def _profile(manifest: Manifest) -> dict[str, tuple[tuple[int, ...], ...]]:
    batch = manifest.batch
    if batch.is_fixed:
        return {}
    sizes = (batch.minimum, batch.optimum, batch.maximum)
    return {
        tensor.name: tuple(tuple(size if isinstance(side, str) else side for side in tensor.shape) for size in sizes)
        for tensor in manifest.inputs
    }


def _machine_facts() -> dict[str, Any]:
    """The machine that TensorRT proper chose its kernels on; TensorRT-RTX builds for others, and asks none."""
    machine = read_machine()
    host = host_of(machine, Packages())
    gpu = host.gpus[0] if host.gpus else None
    clock = machine.jetson.gpu_clock if machine.jetson else None
    return {
        "gpu_name": gpu.name if gpu else None,
        "sm_count": gpu.sm_count if gpu else None,
        "driver": host.driver,
        "l4t": host.l4t,
        "power_mode": host.power_mode,
        "clocks_mhz": {"gpu": clock.now_mhz, "gpu_max": clock.max_mhz} if clock else {},
    }


def _described(
    manifest: Manifest, targets: Sequence[Target], request: BuildRequest, answer: dict[str, object], content: bytes
) -> Manifest:
    digests = {name: value for name, value in manifest.digests.items() if name != "artefact"}
    facts = PlanFacts(
        flavour=request.flavour,
        tensorrt_version=str(answer["version"]),
        compute_capabilities=request.compute_capabilities,
        **(_machine_facts() if request.flavour != RTX else {}),
        system=platform.system().lower(),
        architecture=platform.machine(),
        profile={name: ProfileRange(*shapes) for name, shapes in request.profile.items()},
        engine_name=request.engine_name,
        settings={
            "strongly_typed": answer["strongly_typed"],
            "workspace_mib": request.workspace_mib,
            "parsed_layers": answer["layers"],
            "targets": [target.name for target in targets],
        },
    )
    return dataclasses.replace(
        manifest,
        target=manifest.target if manifest.target in {target.name for target in targets} else targets[0].name,
        digests={**digests, "onnx": manifest.digests["artefact"], "artefact": sha256_of(content)},
        versions={**manifest.versions, request.flavour: str(answer["version"])},
        plan=facts,
    )
