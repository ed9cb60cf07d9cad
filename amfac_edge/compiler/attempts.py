"""The builds of one plan: again with less memory where it ran out, and afterwards a look at its layers."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact import RTX
from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.compiler.gpu_here import GpuHere
from amfac_edge.compiler.layers import inspect_in_child, layer_precision, silent_float32
from amfac_edge.compiler.memory import memory_error, ran_out_of_memory
from amfac_edge.errors import AmfacError, MachineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from amfac_edge.compiler.building import BuildRequest
    from amfac_edge.compiler.options import BuildOptions
    from amfac_edge.compiler.progress import Listener

__all__ = ["BuildAnswer", "BuildRun"]

_INSPECTION_S = 300.0
# A builder that can't allocate was seen waiting for itself.
_STALL_S = 60.0


@dataclass(frozen=True)
class BuildAnswer:
    """What a build came to, beside its plan.

    Attributes:
        request: that was built in the end.
        version: of the library.
        strongly_typed: precision was read in the graph.
        parsed_layers: of the network before the library fused them.
        parsed_types: how many of its convolutions and matrix products give which element type.
        kept_float32: how many layers a network without strong types was told to keep so.
        gpu: what it was built on; None where no driver answers, or none was asked.
        cache: where the timing cache belongs, and its content; None where there is none.
        notes: for a person.
        layers_json: what the inspector says; None where nobody could ask it.
        layer_information: whether it could be asked, in words for the manifest.
        layer_precision: element type by kind of layer.
    """

    request: BuildRequest
    version: str
    strongly_typed: bool
    parsed_layers: int
    parsed_types: Mapping[str, Mapping[str, int]]
    kept_float32: int
    gpu: GpuHere | None
    cache: tuple[Path, bytes] | None
    notes: tuple[str, ...]
    layers_json: bytes | None = None
    layer_information: str = ""
    layer_precision: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BuildRun:
    """One plan that is built.

    Attributes:
        artefact: the user's file, for messages.
        source: the graph to build.
        plan: the file to write.
        request: what the library is told.
        options: limits, for the rest.
        listener: hears how far it is.
    """

    artefact: Path
    source: Path
    plan: Path
    request: BuildRequest
    options: BuildOptions
    listener: Listener | None = None

    def built(self, workspaces: Sequence[int | None]) -> BuildAnswer:
        """Build with the first of `workspaces` (MiB) for which there is enough memory.

        Raises:
            AmfacError: of the library.
            MachineError: the child died, or there was not enough memory for any of them.
        """
        tried: list[str] = []
        for workspace in workspaces:
            request = dataclasses.replace(self.request, workspace_mib=workspace)
            if tried:
                self._say(f"again with a workspace of {workspace} MiB: {tried[-1]}")
            answer = self._attempt(request)
            if isinstance(answer, BuildAnswer):
                return dataclasses.replace(answer, notes=(*tried, *answer.notes))
            size = f"a workspace of {workspace} MiB" if workspace else "the library's own workspace"
            tried.append(f"{size} was too much: {answer}" if len(workspaces) > 1 else answer)
        limit = self.options.memory_bytes(self.request.flavour)
        raise memory_error(
            f"{self.artefact}: {self.request.flavour} built no plan for want of memory: {'; '.join(tried)}",
            limit_mib=limit >> 20 if limit else None,
            on_board=len(workspaces) > 1,
        )

    def with_layers(self, answer: BuildAnswer) -> BuildAnswer:
        """The same with what the plan's layers are, where a GPU is here to ask."""
        if answer.request.flavour == RTX:
            return dataclasses.replace(answer, layer_information="not read: TensorRT-RTX builds without a GPU")
        self._say("reading the layers")
        out = self.plan.with_name("layers.json")
        try:
            count = call_in_child(
                f"{inspect_in_child.__module__}:{inspect_in_child.__name__}",
                timeout_s=_INSPECTION_S,
                plan=str(self.plan),
                out=str(out),
                flavour=answer.request.flavour,
                host_code=answer.request.version_compatible,
            )
            content = out.read_bytes()
            precision = layer_precision(json.loads(content))
        except (AmfacError, ChildFailure, OSError, ValueError, RecursionError) as error:
            why = f"not read: {error.problem if isinstance(error, AmfacError) else error}"
            return dataclasses.replace(
                answer, layer_information=why, notes=(*answer.notes, f"the plan's layers were {why}")
            )
        warning = silent_float32(precision, asked_half=answer.request.half)
        return dataclasses.replace(
            answer,
            layers_json=content,
            layer_information=f"read from the plan: {count} layers",
            layer_precision=precision,
            notes=(*([warning] if warning else []), *answer.notes),
        )

    def _attempt(self, request: BuildRequest) -> BuildAnswer | str:
        """One build; what it says of memory where that was the matter."""
        limit = self.options.memory_bytes(request.flavour)
        try:
            answer: dict[str, Any] = call_in_child(
                "amfac_edge.compiler.building:build_in_child",
                timeout_s=self.options.seconds(request.flavour),
                memory_bytes=limit,
                # TensorRT-RTX only computes; TensorRT proper may rightly wait for the GPU.
                stall_s=_STALL_S if limit and request.flavour == RTX else None,
                progress=self.listener,
                onnx=str(self.source),
                plan=str(self.plan),
                request=dataclasses.asdict(request),
            )
        except ChildFailure as failure:
            if failure.killed_by == "SIGKILL":
                return "the system killed it, as Linux does where memory ends"
            if failure.killed_by == "SIGABRT" and limit:
                return "the library aborted, as it does where it can't allocate"
            if (
                ran_out_of_memory([failure.reason])
                or "MemoryError" in failure.reason
                or "stood still" in failure.reason
            ):
                return failure.reason
            raise self._dead(failure, request, limit) from failure
        if "short_of_memory" in answer:
            return str(answer["short_of_memory"])
        cache = None
        if answer["timing_cache"] is not None:
            cache = (Path(answer["timing_cache"]), Path(f"{self.plan}.cache").read_bytes())
        return BuildAnswer(
            request,
            version=str(answer["version"]),
            strongly_typed=bool(answer["strongly_typed"]),
            parsed_layers=int(answer["layers"]),
            parsed_types=answer["parsed_types"],
            kept_float32=int(answer["kept_float32"]),
            gpu=GpuHere(**answer["gpu"]) if answer["gpu"] is not None else None,
            cache=cache,
            notes=tuple(map(str, answer["notes"])),
        )

    def _dead(self, failure: ChildFailure, request: BuildRequest, limit: int | None) -> MachineError:
        if failure.killed_by is None and failure.reason.startswith("no end"):
            held, cure = "", "Close other programs and try again, or give it more time: --build-timeout S"
        else:
            held = f" (it may allocate {limit >> 20:,} MiB: --memory-limit)" if limit else ""
            cure = "Close other programs and try again; amfac-doctor says how much memory is free."
        return MachineError(f"{self.artefact}: {request.flavour} built no plan: {failure.reason}{held}", cure=cure)

    def _say(self, stage: str) -> None:
        if self.listener is not None:
            self.listener.stage(stage)
