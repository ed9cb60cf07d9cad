"""A plan and its manifest, made from an ONNX artefact of amfac-export: both are written, or neither."""

from __future__ import annotations

import dataclasses
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact import (
    FP16,
    FP32,
    INT8,
    RTX,
    Manifest,
    PlanFacts,
    ProfileRange,
    manifest_path,
    read_artefact,
    read_plan_header,
)
from amfac_edge.compiler.attempts import BuildAnswer, BuildRun
from amfac_edge.compiler.building import BuildRequest
from amfac_edge.compiler.layers import layers_path
from amfac_edge.compiler.memory import check_memory, workspaces
from amfac_edge.compiler.options import BuildOptions
from amfac_edge.compiler.progress import Listener
from amfac_edge.compiler.timing_cache import keep_timing_cache
from amfac_edge.errors import InputError, MachineError, OutputError
from amfac_edge.files import atomic_files, refuse_overwriting, sha256_of, writable_folder
from amfac_edge.machine.card_state import read_card_state
from amfac_edge.machine.packages import Packages
from amfac_edge.machine.this_machine import read_machine, target_of
from amfac_edge.sessions.host import host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from amfac_edge.compiler.gpu_here import GpuHere
    from amfac_edge.compiler.progress import BuildProgress
    from amfac_edge.declared.target import Target
    from amfac_edge.machine.this_machine import Machine

__all__ = ["BuiltPlan", "islands_of", "plan_from_artefact", "plan_name", "profile_of", "write_plan"]

_SUFFIX = {RTX: ".rtx.plan"}
_DEFAULTS = BuildOptions()
_DIGEST_SHOWN = 16
_SIDES = {"frame_height": (64, 1080, 2160), "frame_width": (64, 1920, 3840)}


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
    progress: Callable[[BuildProgress], None] | None = None,
    typed: bool = True,
    islands: Sequence[str] | None = None,
) -> BuiltPlan:
    """Build the plan of an ONNX artefact in a child process and write it with its manifest.

    Args:
        artefact: `.onnx` of amfac-export with its manifest.
        targets: whose GPUs the plan shall run on; several for TensorRT-RTX only.
        out: folder for the plan.
        flavour: "tensorrt-rtx": builds without a GPU for the cards of `targets`. "tensorrt": builds for the GPU of this
            machine, which must be that of the one target.
        options: what else the build is told.
        progress: called with where the build is, about once a second; to raise from it, as Ctrl-C does, ends the build.
        typed: precision is what the graph says. False: the graph is float32, and TensorRT proper before 11 is told to
            use float16 where it likes.
        islands: names of the nodes that must stay float32 where types are not the graph's; None for what the artefact's
            own manifest names.

    Raises:
        InputError: targets, or options, that such a plan can't serve.
        ModelFileError: the artefact is damaged, was replaced, or the library refuses it.
        MachineError: the library is missing, or gave up; there is too little memory.
        OutputError: the place can't be written to.
    """
    capabilities = _capabilities(targets, flavour)
    _check_options(options, targets, flavour)
    graph, manifest = read_artefact(artefact)
    path = writable_folder(out) / plan_name(artefact, flavour, targets)
    layers = layers_path(path)
    refuse_overwriting([path, manifest_path(path), layers], [artefact, manifest_path(artefact)])
    # TensorRT proper chooses its kernels on this machine; TensorRT-RTX builds for others, and asks none.
    machine = read_machine() if flavour != RTX else None
    form = manifest.precision if typed else f"{FP16} by flag"
    request = BuildRequest(
        flavour=flavour,
        compute_capabilities=capabilities,
        engine_name=f"amfac/1 {manifest.name} {manifest.digests['artefact'][:_DIGEST_SHOWN]}",
        profile=profile_of(manifest),
        half=manifest.precision != FP32 or not typed,
        int8=manifest.precision == INT8,
        islands=tuple(islands_of(manifest) if islands is None else islands),
        typed=typed,
        workspace_mib=_workspace(options, targets, flavour),
        tactic_dram_mib=targets[0].builder.tactic_dram_mib if machine else None,
        optimization_level=options.optimization_level,
        version_compatible=options.version_compatible,
        any_gpu=options.any_gpu,
        timing_cache=_timing_cache(machine, targets[0], form) if machine and options.timing_cache else None,
    )
    memory = targets[0].memory
    shared = machine is not None and memory is not None and memory.unified
    if machine is not None and shared and options.memory_check:
        check_memory(machine.memory, workspace_mib=request.workspace_mib, tactic_dram_mib=request.tactic_dram_mib)
    with tempfile.TemporaryDirectory(prefix="amfac-build-") as scratch:
        source, built = Path(scratch) / artefact.name, Path(scratch) / "plan"
        source.write_bytes(graph)
        run = BuildRun(artefact, source, built, request, options, Listener(progress) if progress else None)
        answer = run.built(workspaces(request.workspace_mib) if shared else (request.workspace_mib,))
        content = built.read_bytes()
        header = read_plan_header(built)
        if header.flavour != flavour or header.fault:
            what = f"{header.title}: {header.fault or 'another kind'}"
            raise MachineError(
                f"{artefact}: what {flavour} {answer.version} built is {what}",
                cure="Try again; if it stays so, report it with this version.",
            )
        answer = run.with_layers(answer)
    described = _described(manifest, targets, answer, content, machine)
    write_plan(path, content, described, answer.layers_json)
    if answer.cache is not None:
        answer = _cache_kept(answer, *answer.cache)
    return BuiltPlan(path, described, answer.notes)


def _check_options(options: BuildOptions, targets: Sequence[Target], flavour: str) -> None:
    if options.version_compatible and flavour == RTX:
        raise InputError(
            f"TensorRT-RTX builds no version-compatible plan (for {targets[0].title}): its plans stay in its release",
            cure="Leave --version-compatible out, or build with TensorRT proper on the card itself, by its kit.",
        )


def _timing_cache(machine: Machine, target: Target, form: str) -> tuple[str, tuple[str, ...]]:
    """The machine that measures, and what its measurements hold for beside TensorRT's version."""
    here = target_of(machine)
    # A build that was forced on another machine must not measure for the right one.
    name = target.name if here == target.name else f"{target.name}-on-{here or 'another'}"
    mode = machine.jetson.power_mode if machine.jetson else None
    return name, (mode or "no mode", form)


def write_plan(path: Path, content: bytes, described: Manifest, layers_json: bytes | None) -> None:
    """Write a plan with its manifest, and its layers where they are known; all of them or none.

    Args:
        path: of the plan.
        content: of the plan.
        described: its manifest.
        layers_json: what the inspector said; None for what nobody asked, and what lay there before is removed.

    Raises:
        OutputError: the place can't be written to.
    """
    layers = layers_path(path)
    if layers_json is None:
        with atomic_files(manifest_path(path), path) as (manifest_part, part):
            part.write_bytes(content)
            manifest_part.write_bytes(described.as_bytes())
        # Those of the plan that lay there before would be taken for this one's.
        layers.unlink(missing_ok=True)
        return
    with atomic_files(manifest_path(path), layers, path) as (manifest_part, layers_part, part):
        part.write_bytes(content)
        layers_part.write_bytes(layers_json)
        manifest_part.write_bytes(described.as_bytes())


def _cache_kept(answer: BuildAnswer, path: Path, content: bytes) -> BuildAnswer:
    try:
        keep_timing_cache(path, content)
    except OutputError as error:
        note = f"{error.problem}: the next build measures everything once more"
        return dataclasses.replace(answer, notes=(*answer.notes, note))
    return answer


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


def profile_of(manifest: Manifest) -> dict[str, tuple[tuple[int, ...], ...]]:
    """The smallest, most frequent and largest shape of each input that has a dynamic axis, by its name.

    The axes of a frame go from 64x64 by 1080x1920 to 2160x3840; every other one is the batch.
    """
    batch = manifest.batch
    people = (batch.minimum, batch.optimum, batch.maximum)
    return {
        tensor.name: tuple(
            tuple(_SIDES.get(side, people)[place] if isinstance(side, str) else side for side in tensor.shape)
            for place in range(len(people))
        )
        for tensor in manifest.inputs
        if any(isinstance(side, str) for side in tensor.shape)
    }


def islands_of(manifest: Manifest) -> tuple[str, ...]:
    """The nodes of a float16 artefact that compute in float32, by name, as its manifest lists them."""
    half = manifest.extra.get("half")
    names = half.get("islands") if isinstance(half, dict) else None
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _machine_facts(machine: Machine, gpu: GpuHere | None) -> dict[str, Any]:
    """What is known of the machine, and of the GPU by its driver; a mode of a board says how many SMs are on."""
    host = host_of(machine, Packages())
    listed = host.gpus[0] if len(host.gpus) == 1 else None
    return {
        "gpu_name": gpu.name if gpu else (listed.name if listed else None),
        "sm_count": gpu.sm_count if gpu else (listed.sm_count if listed else None),
        "cuda": gpu.cuda if gpu else None,
        "driver": host.driver,
        "l4t": host.l4t,
        "power_mode": host.power_mode,
        "clocks_mhz": _clocks(machine),
    }


def _clocks(machine: Machine) -> dict[str, float]:
    if machine.jetson is not None:
        clock = machine.jetson.gpu_clock
        return {"gpu": clock.now_mhz, "gpu_max": clock.max_mhz} if clock else {}
    # Of several cards nobody here knows which is CUDA's first.
    card = read_card_state(Path("/"), os.environ) if len(machine.cards.cards) == 1 else None
    found = {"gpu": card.sm_mhz, "gpu_max": card.sm_max_mhz, "memory": card.memory_mhz} if card else {}
    return {name: value for name, value in found.items() if value is not None}


def _described(
    manifest: Manifest, targets: Sequence[Target], answer: BuildAnswer, content: bytes, machine: Machine | None
) -> Manifest:
    digests = {name: value for name, value in manifest.digests.items() if name != "artefact"}
    if answer.cache is not None:
        digests["timing_cache"] = sha256_of(answer.cache[1])
    request = answer.request
    facts = PlanFacts(
        flavour=request.flavour,
        tensorrt_version=answer.version,
        # TensorRT proper builds for the GPU that is there, whatever it was asked for.
        compute_capabilities=(answer.gpu.compute_capability,) if answer.gpu else request.compute_capabilities,
        **(_machine_facts(machine, answer.gpu) if machine else {}),
        system=platform.system().lower(),
        architecture=platform.machine(),
        host_code=request.version_compatible,
        layer_precision=answer.layer_precision,
        profile={name: ProfileRange(*shapes) for name, shapes in request.profile.items()},
        engine_name=request.engine_name,
        settings={
            "form": "typed" if answer.request.typed else "flag",
            "strongly_typed": answer.strongly_typed,
            "workspace_mib": request.workspace_mib,
            "tactic_dram_mib": request.tactic_dram_mib,
            "optimization_level": request.optimization_level if machine else None,
            "version_compatible": request.version_compatible,
            "parsed_layers": answer.parsed_layers,
            "parsed_types": answer.parsed_types,
            "kept_float32": answer.kept_float32,
            "layer_information": answer.layer_information,
            "targets": [target.name for target in targets],
        },
    )
    return dataclasses.replace(
        manifest,
        target=manifest.target if manifest.target in {target.name for target in targets} else targets[0].name,
        digests={**digests, "onnx": manifest.digests["artefact"], "artefact": sha256_of(content)},
        versions={**manifest.versions, request.flavour: answer.version},
        plan=facts,
    )
