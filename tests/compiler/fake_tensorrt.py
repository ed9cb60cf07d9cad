"""Stand-ins for TensorRT's bindings: they record what they are told and build what they were made to.

What they have is what the bindings of that version have; `test_fake_tensorrt` holds them against the record.
"""

from __future__ import annotations

import enum
import json
import os
import signal
from types import SimpleNamespace
from typing import Any

LAYERS: dict[str, Any] = {
    "Layers": [
        {"LayerType": "CaskConvolution", "ParameterType": "Convolution", "Weights": {"Type": "Half", "Count": 9}},
        {"LayerType": "gemm", "Inputs": [{"Format/Datatype": "Float"}]},
        {"LayerType": "Reformat", "Inputs": [{"Format/Datatype": "Float"}]},
    ]
}

TYPES = (
    ("CONVOLUTION", "HALF"),
    ("ACTIVATION", "HALF"),
    ("CONVOLUTION", "HALF"),
    ("CAST", "FLOAT"),
    ("MATRIX_MULTIPLY", "FLOAT"),
)


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        pass


class IProgressMonitor:
    def __init__(self) -> None:
        pass


class Recorder:
    """Everything that a build was told, by name."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {"shapes": {}, "flags": []}


class TimingCache:
    """What it holds begins with the version that measured it."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content


def bindings(  # noqa: C901, PLR0913 - a module of small classes, and all that can be different in it
    version: str,
    *,
    built: bytes | None = b"ftrt plan",
    says: tuple[str, ...] = (),
    enough_mib: int = 1 << 20,
    killed: bool = False,
    phases: tuple[tuple[str, int], ...] = (),
    layers: object = LAYERS,
    opens: bool = True,
    types: tuple[tuple[str, ...], ...] = TYPES,
    sampling: str = "LINEAR",
) -> Any:  # noqa: ANN401
    """A module like that of TensorRT proper: 8.6 has weak types and explicit batch, later ones strong types.

    Args:
        version: of TensorRT.
        built: the plan; None for a build that fails.
        says: its errors.
        enough_mib: with a larger workspace it is killed, or says that memory is used up.
        killed: which of the two.
        phases: of the progress monitor, with their steps.
        layers: what the inspector tells.
        opens: whether the plan can be deserialised.
        types: kind, element types of the outputs, name and metadata of the parsed network's layers.
        sampling: how its GRID_SAMPLE layers do it.
    """
    record = Recorder()
    old = version.startswith("8.")
    creation = {"EXPLICIT_BATCH": 0} if old else {"STRONGLY_TYPED": 1}
    mine = f"measured by {version}: ".encode()

    class Layer:
        """The base class, as the bindings give it of every layer."""

        def __init__(self, kind: str, dtypes: str, name: str = "", metadata: str = "") -> None:
            self.type, self.name, self.metadata = SimpleNamespace(name=kind), name, metadata
            self._outputs = [SimpleNamespace(dtype=SimpleNamespace(name=one)) for one in dtypes.split()]
            self.num_outputs = len(self._outputs)

        def get_output(self, index: int) -> Any:  # noqa: ANN401
            return self._outputs[index]

    class WeakLayer(Layer):
        def __setattr__(self, key: str, value: object) -> None:
            if key == "precision":
                record.told.setdefault("held", {})[self.name] = [value]
            super().__setattr__(key, value)

        def set_output_type(self, index: int, dtype: str) -> None:
            record.told["held"][self.name].append((index, dtype))

    class IGridSampleLayer(Layer):
        interpolation_mode = SimpleNamespace(name=sampling)

    class Network:
        num_layers, num_outputs, name = len(types), 2, ""

        def get_layer(self, index: int) -> Any:  # noqa: ANN401
            return (Layer if version.startswith("11.") else WeakLayer)(*types[index])

    class Parser:
        num_errors = 0

        def __init__(self, network: Network, logger: ILogger) -> None:
            assert isinstance(network, Network)
            assert isinstance(logger, ILogger)

        def parse(self, content: bytes) -> bool:
            record.told["content"] = content
            return True

    class Config:
        builder_optimization_level = 3
        profiling_verbosity = "LAYER_NAMES_ONLY"
        if not old:
            progress_monitor: Any = None

        def __init__(self) -> None:
            self._cache: TimingCache | None = None

        def set_flag(self, flag: object) -> None:
            record.told["flags"].append(flag)

        def clear_flag(self, flag: object) -> None:
            record.told.setdefault("cleared", []).append(flag)

        def set_memory_pool_limit(self, pool: str, size: int) -> None:
            record.told[pool] = size

        def set_preview_feature(self, feature: str, enable: bool) -> None:  # noqa: FBT001 - as TensorRT has it
            record.told["previews"] = {feature: enable}

        def add_optimization_profile(self, profile: object) -> None:
            record.told["profile"] = profile

        def create_timing_cache(self, content: bytes) -> TimingCache:
            record.told.setdefault("caches", []).append(content)
            return TimingCache(content)

        def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:  # noqa: FBT001 - as TensorRT has it
            assert ignore_mismatch is False
            fits = cache.content.startswith(mine) or not cache.content
            self._cache = cache if fits else self._cache
            return fits

        def get_timing_cache(self) -> TimingCache:
            assert self._cache is not None
            return self._cache

    class Builder:
        def __init__(self, logger: Any) -> None:  # noqa: ANN401
            self._logger = logger

        def create_network(self, flags: int) -> Network:
            record.told["network_flags"] = flags
            record.told["network"] = Network()
            network: Network = record.told["network"]
            return network

        def create_builder_config(self) -> Config:
            return Config()

        def create_optimization_profile(self) -> Any:  # noqa: ANN401
            return SimpleNamespace(set_shape=lambda name, *shapes: record.told["shapes"].update({name: shapes}))

        def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
            assert isinstance(config, Config)
            assert network is record.told["network"]
            record.told["config"] = config
            self._logger.log(Severity.INFO, "this is nothing that anybody needs to know")
            if record.told.get("WORKSPACE", 0) > enough_mib << 20:
                self._run_out_of_memory()
                return None
            if not self._report(getattr(config, "progress_monitor", None)):
                self._logger.log(Severity.ERROR, "Error Code 7: BuildCanceled (Build canceled by user)")
                return None
            for line in says:
                self._logger.log(Severity.ERROR, line)
            if config._cache is not None and not config._cache.content:
                config._cache.content = mine + b"1 ms"
            return built

        def _run_out_of_memory(self) -> None:
            if killed:
                os.kill(os.getpid(), signal.SIGKILL)
            self._logger.log(Severity.ERROR, "NvMapMemAllocInternalTagged: 1075072515 error 12")

        def _report(self, monitor: Any) -> bool:  # noqa: ANN401
            if monitor is None:
                return True
            parent = None
            wanted = True
            for name, steps in phases:
                monitor.phase_start(name, parent, steps)
                parent = name
                wanted = wanted and all(monitor.step_complete(name, step) for step in range(steps))
            for name, _ in reversed(phases):
                monitor.phase_finish(name)
            return wanted

    class Inspector:
        def get_engine_information(self, form: str) -> str:
            assert form == "JSON"
            return json.dumps(layers)

    class Runtime:
        engine_host_code_allowed = False

        def __init__(self, logger: Any) -> None:  # noqa: ANN401
            self._logger = logger

        def deserialize_cuda_engine(self, content: bytes) -> Any:  # noqa: ANN401
            record.told["opened"] = content
            record.told["host_code"] = self.engine_host_code_allowed
            if not opens:
                self._logger.log(Severity.ERROR, "CUDA initialization failure with error: 35")
                return None
            return SimpleNamespace(create_engine_inspector=Inspector)

    names: dict[str, Any] = {
        "__version__": version,
        "record": record,
        "ILogger": ILogger,
        "Builder": Builder,
        "OnnxParser": Parser,
        "Runtime": Runtime,
        "IBuilderConfig": Config,
        "ITimingCache": TimingCache,
        "EngineInspector": Inspector,
        "IGridSampleLayer": IGridSampleLayer,
        "DataType": SimpleNamespace(FLOAT="FLOAT"),
        "NetworkDefinitionCreationFlag": enum.IntEnum("NetworkDefinitionCreationFlag", creation),
        "BuilderFlag": SimpleNamespace(TF32="TF32", VERSION_COMPATIBLE="VERSION_COMPATIBLE"),
        "MemoryPoolType": SimpleNamespace(WORKSPACE="WORKSPACE", TACTIC_DRAM="TACTIC_DRAM"),
        "ProfilingVerbosity": SimpleNamespace(DETAILED="DETAILED"),
        "LayerInformationFormat": SimpleNamespace(JSON="JSON"),
    }
    if not version.startswith("11."):
        names["BuilderFlag"].FP16 = "FP16"
        names["BuilderFlag"].OBEY_PRECISION_CONSTRAINTS = "OBEY_PRECISION_CONSTRAINTS"
        names["PreviewFeature"] = SimpleNamespace(PROFILE_SHARING_0806="PROFILE_SHARING_0806")
    if not old:
        names["IProgressMonitor"] = IProgressMonitor
    return SimpleNamespace(**names)
