"""One path from an ONNX graph to a plan, through every TensorRT from 8.6 on and TensorRT-RTX.

It runs in a child process (`plans`): a hostile graph can end the parser's process, and a builder's log belongs to one
build. Precision lies in the graph: where the library has strongly typed networks it is told nothing of it; TensorRT
8.6, which has none, is given the flag. `build_serialized_network` gives None for whatever went wrong and logs why.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact import RTX
from amfac_edge.compiler.bindings import load_bindings
from amfac_edge.errors import ModelFileError
from amfac_edge.sessions.tensorrt_messages import error_from_log, notes_from_log

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["BuildRequest", "build_in_child"]

_NAMED = 8
_MIB = 1 << 20


@dataclass(frozen=True)
class BuildRequest:
    """What a build is told besides its graph.

    Attributes:
        flavour: "tensorrt" or "tensorrt-rtx".
        compute_capabilities: of the cards that a TensorRT-RTX plan shall run on ("8.6", "8.9"); TensorRT proper builds
            for the GPU that is there.
        engine_name: that the plan shall give.
        profile: smallest, tuned and largest shape of each input with a dynamic batch; empty for a fixed batch.
        half: whether the graph computes in float16, for TensorRT 8.6, which has to be told.
        workspace_mib: limit of the builder's scratch memory; None for the library's own.
    """

    flavour: str
    compute_capabilities: tuple[str, ...]
    engine_name: str
    profile: Mapping[str, tuple[tuple[int, ...], ...]]
    half: bool = False
    workspace_mib: int | None = None


def build_in_child(onnx: str, plan: str, request: dict[str, Any]) -> dict[str, Any]:
    """Build the plan of the graph at path `onnx` and write it to path `plan`; for `call_in_child`.

    Args:
        onnx: path of the graph.
        plan: path of the file to write.
        request: the fields of a `BuildRequest`.

    Returns:
        `version` of the library, whether it was `strongly_typed`, `layers` of the parsed network, and `notes`: what the
        library had to remark, said so that it can be understood.

    Raises:
        ModelFileError: the graph can't be parsed.
        AmfacError: the library built nothing; what its log says.
    """
    content = Path(onnx).read_bytes()
    build = _Build(BuildRequest(**request), name=Path(onnx).name)
    serialized = build.run(content)
    Path(plan).write_bytes(serialized)
    return {
        "version": build.version,
        "strongly_typed": build.strongly_typed,
        "layers": build.layers,
        "notes": list(notes_from_log(build.log)),
    }


class _Build:
    """One build by one library."""

    def __init__(self, request: BuildRequest, *, name: str) -> None:
        self._trt = load_bindings(request.flavour)
        self._request = request
        self._name = name
        self.version = str(self._trt.__version__)
        self.strongly_typed = hasattr(self._trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
        self.layers = 0
        self.log: list[str] = []

    def run(self, content: bytes) -> bytes:
        trt = self._trt
        logger = _logger(trt, self.log)
        builder = trt.Builder(logger)
        if builder is None:
            raise error_from_log(self.log, where=self._name)
        network = builder.create_network(self._network_flags())
        self._parse(network, logger, content)
        network.name = self._request.engine_name
        self.layers = network.num_layers
        config = builder.create_builder_config()
        self._configure(builder, config)
        serialized = builder.build_serialized_network(network, config)
        if serialized is None:
            raise error_from_log(self.log, where=self._name)
        return bytes(serialized)

    def _network_flags(self) -> int:
        flags = self._trt.NetworkDefinitionCreationFlag
        if self.strongly_typed:
            return 1 << int(flags.STRONGLY_TYPED)
        return 1 << int(flags.EXPLICIT_BATCH)

    def _parse(self, network: Any, logger: Any, content: bytes) -> None:  # noqa: ANN401 - TensorRT's own
        parser = self._trt.OnnxParser(network, logger)
        parsed = parser.parse(content)
        faults = [parser.get_error(index) for index in range(min(parser.num_errors, _NAMED))]
        # An empty file parses, and leaves a network without outputs.
        if not parsed or network.num_outputs == 0:
            said = "; ".join(f"node {fault.node()}: {fault.desc()}" for fault in faults) or "it has no outputs"
            raise ModelFileError(
                f"{self._name}: the parser of {self._request.flavour} {self.version} refuses it: {said}",
                cure="Export the model again with amfac-export, for this very target.",
            )

    def _configure(self, builder: Any, config: Any) -> None:  # noqa: ANN401 - TensorRT's own
        trt, request = self._trt, self._request
        if request.workspace_mib is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_mib * _MIB)
        if request.half and not self.strongly_typed:
            config.set_flag(trt.BuilderFlag.FP16)
        if request.flavour == RTX:
            config.num_compute_capabilities = len(request.compute_capabilities)
            for index, capability in enumerate(request.compute_capabilities):
                card = getattr(trt.ComputeCapability, "SM" + capability.replace(".", ""), None)
                if card is None:
                    raise ModelFileError(
                        f"TensorRT-RTX {self.version} builds nothing for compute capability {capability}",
                        cure="It serves RTX cards (7.5 to 12.1); a Jetson's plan is built on the board.",
                    )
                config.set_compute_capability(card, index)
        if request.profile:
            profile = builder.create_optimization_profile()
            for name, shapes in request.profile.items():
                profile.set_shape(name, *(tuple(shape) for shape in shapes))
            config.add_optimization_profile(profile)


def _logger(trt: Any, lines: list[str]) -> Any:  # noqa: ANN401 - TensorRT's own
    """A logger that keeps warnings and errors."""

    class Keeper(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401 - TensorRT's own
            if int(severity) <= int(trt.ILogger.Severity.WARNING):
                lines.append(message)

    return Keeper()
