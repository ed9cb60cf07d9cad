"""One path from an ONNX graph to a plan, through every TensorRT from 8.6 on and TensorRT-RTX.

It runs in a child process (`plans`): a hostile graph can end the parser's process, and a builder's log belongs to one
build. Precision lies in the graph: where the library has strongly typed networks it is told nothing of it. Where it has
none (8.6), or shall choose (the flag form), it is given the flag, and the nodes that must stay float32.
`build_serialized_network` gives None for whatever went wrong and logs why.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amfac_edge.artefact import RTX
from amfac_edge.compiler.bindings import load_bindings
from amfac_edge.compiler.gpu_here import gpu_here
from amfac_edge.compiler.memory import ran_out_of_memory
from amfac_edge.compiler.parsed_network import keep_in_float32, parsed_types, wrong_sampling
from amfac_edge.compiler.progress import progress_monitor, tell_stage
from amfac_edge.compiler.timing_cache import cache_file, read_timing_cache, use_timing_cache
from amfac_edge.errors import MachineError, ModelFileError, OutputError
from amfac_edge.sessions.tensorrt_library import keeping_logger
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
        half: whether the plan computes in float16, for a network without strong types, which has to be told.
        int8: whether the graph has Q/DQ, for the same.
        islands: names of the graph's nodes that such a network keeps in float32.
        typed: strong types where the library has them; False is for TensorRT proper before 11, which then chooses.
        workspace_mib: limit of the builder's scratch memory; None for the library's own.
        tactic_dram_mib: limit of the memory that a tactic may take; None for the library's own.
        optimization_level: 0 to 5; None for the library's own.
        version_compatible: the plan shall run in later releases too.
        any_gpu: TensorRT proper may build although the GPU here has another compute capability.
        timing_cache: machine and mode of `timing_cache.cache_file`; None for none.
    """

    flavour: str
    compute_capabilities: tuple[str, ...]
    engine_name: str
    profile: Mapping[str, tuple[tuple[int, ...], ...]]
    half: bool = False
    int8: bool = False
    islands: tuple[str, ...] = ()
    typed: bool = True
    workspace_mib: int | None = None
    tactic_dram_mib: int | None = None
    optimization_level: int | None = None
    version_compatible: bool = False
    any_gpu: bool = False
    timing_cache: tuple[str, tuple[str, ...]] | None = None


def build_in_child(onnx: str, plan: str, request: dict[str, Any]) -> dict[str, Any]:
    """Build the plan of the graph at path `onnx` and write it to path `plan`; for `call_in_child`.

    Args:
        onnx: path of the graph.
        plan: path of the file to write; a timing cache is written to the same with .cache behind it.
        request: the fields of a `BuildRequest`.

    Returns:
        `version` of the library, whether it was `strongly_typed`, `layers` of the parsed network, `parsed_types`: how
        many of its convolutions and matrix products give which type, `kept_float32`: how many layers a network without
        strong types was told to keep so, `timing_cache`: the path where that belongs (None: there is none), `gpu`: what
        it was built on (None: no driver answers, or none was asked), and `notes`: what the library had to remark, said
        so that it can be understood. Where memory ran out, `short_of_memory` alone: what the library says of it.

    Raises:
        ModelFileError: the graph can't be parsed.
        MachineError: TensorRT proper would build for another GPU than was asked for.
        AmfacError: the library built nothing; what its log says.
    """
    tell_stage("loading the library")
    content = Path(onnx).read_bytes()
    told = BuildRequest(**request)
    gpu = gpu_here() if told.flavour != RTX else None
    if gpu is not None and not told.any_gpu and gpu.compute_capability not in told.compute_capabilities:
        raise MachineError(
            f"CUDA's device 0 is {gpu.name}, of compute capability {gpu.compute_capability}: a plan for "
            f"{' and '.join(told.compute_capabilities)} can't be built on it",
            cure="CUDA_VISIBLE_DEVICES=N chooses another card of this machine; nvidia-smi -L lists them.",
        )
    build = _Build(told, name=Path(onnx).name)
    serialized = build.run(content)
    if serialized is None:
        error = error_from_log(build.log, where=build.name)
        if ran_out_of_memory(build.log):
            return {"short_of_memory": error.problem}
        raise error
    tell_stage("writing")
    Path(plan).write_bytes(serialized)
    if build.timing_cache is not None:
        Path(f"{plan}.cache").write_bytes(build.timing_cache)
    return {
        "version": build.version,
        "strongly_typed": build.strongly_typed,
        "layers": build.layers,
        "parsed_types": build.parsed_types,
        "kept_float32": build.kept_float32,
        "gpu": asdict(gpu) if gpu is not None else None,
        "timing_cache": str(build.timing_cache_file) if build.timing_cache is not None else None,
        "notes": [*build.notes, *notes_from_log(build.log)],
    }


class _Build:
    """One build by one library."""

    def __init__(self, request: BuildRequest, *, name: str) -> None:
        self._trt = load_bindings(request.flavour)
        self._request = request
        self.name = name
        self.version = str(self._trt.__version__)
        self.strongly_typed = request.typed and hasattr(self._trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
        # Kept here, since it must outlive the builder that calls it.
        self._monitor = progress_monitor(self._trt)
        self.layers = 0
        self.parsed_types: dict[str, dict[str, int]] = {}
        self.kept_float32 = 0
        self.log: list[str] = []
        self.notes: list[str] = []
        self.timing_cache: bytes | None = None
        self.timing_cache_file: Path | None = None
        if request.timing_cache is not None:
            machine, mode = request.timing_cache
            try:
                self.timing_cache_file = cache_file(machine, self.version, mode)
            except OutputError as error:
                self.notes.append(f"nothing measured is kept for the next build: {error.problem}")

    def run(self, content: bytes) -> bytes | None:
        """The plan; None where the library built nothing, and its log says why."""
        trt = self._trt
        logger = keeping_logger(trt, self.log)
        builder = trt.Builder(logger)
        if builder is None:
            return None
        network = builder.create_network(self._network_flags())
        tell_stage("parsing")
        if not self._parse(network, logger, content):
            return None
        network.name = self._request.engine_name
        self.layers = network.num_layers
        self.parsed_types = parsed_types(network)
        self._check(network)
        config = builder.create_builder_config()
        if self._monitor is not None:
            config.progress_monitor = self._monitor
        self._configure(builder, config)
        if self._request.half and not self.strongly_typed:
            self._choose_half(network, config)
        tell_stage("building")
        serialized = builder.build_serialized_network(network, config)
        if serialized is None:
            return None
        if self.timing_cache_file is not None:
            self.timing_cache = bytes(config.get_timing_cache().serialize())
        return bytes(serialized)

    def _network_flags(self) -> int:
        flags = self._trt.NetworkDefinitionCreationFlag
        if self.strongly_typed:
            return 1 << int(flags.STRONGLY_TYPED)
        return 1 << int(flags.EXPLICIT_BATCH) if hasattr(flags, "EXPLICIT_BATCH") else 0

    def _parse(self, network: Any, logger: Any, content: bytes) -> bool:  # noqa: ANN401 - TensorRT's own
        """Whether there was memory enough to parse it."""
        parser = self._trt.OnnxParser(network, logger)
        parsed = parser.parse(content)
        faults = [parser.get_error(index) for index in range(min(parser.num_errors, _NAMED))]
        # An empty file parses, and leaves a network without outputs.
        if not parsed or network.num_outputs == 0:
            said = "; ".join(f"node {fault.node()}: {fault.desc()}" for fault in faults) or "it has no outputs"
            if ran_out_of_memory([said]):
                self.log.append(said)
                return False
            raise ModelFileError(
                f"{self.name}: the parser of {self._request.flavour} {self.version} refuses it: {said}",
                cure="Export the model again with amfac-export, for this very target.",
            )
        return True

    def _check(self, network: Any) -> None:  # noqa: ANN401 - TensorRT's own
        """What is known to go wrong without a word, and shows before anything is built."""
        wrong = wrong_sampling(self._trt, network)
        if wrong is not None:
            raise ModelFileError(
                f"{self.name}: the parser of {self._request.flavour} {self.version} misreads it: {wrong}, not LINEAR",
                cure="Export the model again with amfac-export, for this very target, or with --input crops.",
            )
        found = {name for types in self.parsed_types.values() for name in types}
        if self._request.half and self.strongly_typed and found and "float16" not in found:
            raise ModelFileError(
                f"{self.name}: it is said to compute in half precision, and its layers are {', '.join(sorted(found))}",
                cure="Export the model again with amfac-export.",
            )

    def _configure(self, builder: Any, config: Any) -> None:  # noqa: ANN401 - TensorRT's own
        trt, request = self._trt, self._request
        if request.workspace_mib is not None:
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_mib * _MIB)
        # float32 means float32: with TF32, its default, TensorRT would round what goes into a product to 10 bits.
        config.clear_flag(trt.BuilderFlag.TF32)
        if request.int8 and not self.strongly_typed:
            config.set_flag(trt.BuilderFlag.INT8)
        if request.flavour == RTX:
            self._name_cards(config)
        else:
            self._configure_proper(config)
        if request.profile:
            profile = builder.create_optimization_profile()
            for name, shapes in request.profile.items():
                profile.set_shape(name, *(tuple(shape) for shape in shapes))
            config.add_optimization_profile(profile)
            if not hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED"):
                # A session has a context for each batch size, and 8.6 lets a single one use a profile unless told so.
                config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)  # noqa: FBT003 - TensorRT's own

    def _choose_half(self, network: Any, config: Any) -> None:  # noqa: ANN401 - TensorRT's own
        """float16 wherever the builder likes, but not where rounding moves joints."""
        config.set_flag(self._trt.BuilderFlag.FP16)
        islands = self._request.islands
        self.kept_float32 = keep_in_float32(self._trt, network, config, islands)
        if islands and not self.kept_float32:
            self.notes.append(
                f"none of the {len(islands)} nodes that should stay float32 was found by its name: the library chooses"
            )

    def _name_cards(self, config: Any) -> None:  # noqa: ANN401 - TensorRT's own
        capabilities = self._request.compute_capabilities
        config.num_compute_capabilities = len(capabilities)
        for index, capability in enumerate(capabilities):
            card = getattr(self._trt.ComputeCapability, "SM" + capability.replace(".", ""), None)
            if card is None:
                raise ModelFileError(
                    f"TensorRT-RTX {self.version} builds nothing for compute capability {capability}",
                    cure="It serves RTX cards (7.5 to 12.1); a Jetson's plan is built on the board.",
                )
            config.set_compute_capability(card, index)
        if self._request.optimization_level is not None:
            # Measured with 1.7.1: the plans of 0 and of 5 are alike.
            self.notes.append("TensorRT-RTX knows optimisation levels by name alone: it was not told of one")

    def _configure_proper(self, config: Any) -> None:  # noqa: ANN401 - TensorRT's own
        """What TensorRT-RTX doesn't have: it measures nothing, and builds for no later release."""
        trt, request = self._trt, self._request
        # Without it the inspector has no more to tell than names.
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if request.tactic_dram_mib is not None and hasattr(trt.MemoryPoolType, "TACTIC_DRAM"):
            config.set_memory_pool_limit(trt.MemoryPoolType.TACTIC_DRAM, request.tactic_dram_mib * _MIB)
        if request.optimization_level is not None:
            if hasattr(config, "builder_optimization_level"):
                config.builder_optimization_level = request.optimization_level
            else:
                self.notes.append(f"TensorRT {self.version} has no optimisation levels: it was not told of one")
        if request.version_compatible:
            config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        if self.timing_cache_file is not None:
            content, fault = read_timing_cache(self.timing_cache_file)
            if not use_timing_cache(config, content):
                fault = f"{self.timing_cache_file}: a timing cache of another TensorRT or GPU; a fresh one was begun"
            self.notes += [fault] if fault else []
