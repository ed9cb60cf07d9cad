"""Stand-ins for TensorRT's bindings: they record what they are told and build what they were made to."""

from __future__ import annotations

import enum
from types import SimpleNamespace
from typing import Any


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3


class ILogger:
    Severity = Severity

    def __init__(self) -> None:
        pass


class Recorder:
    """Everything that a build was told, by name."""

    def __init__(self) -> None:
        self.told: dict[str, Any] = {"shapes": {}, "flags": []}


def bindings(version: str, *, built: bytes | None = b"ftrt plan", says: tuple[str, ...] = ()) -> Any:  # noqa: ANN401, C901 - a module of small classes
    """A module like that of TensorRT proper: 8.6 has weak types and explicit batch, later ones strong types."""
    record = Recorder()
    old = version.startswith("8.")
    creation = {"EXPLICIT_BATCH": 0} if old else {"STRONGLY_TYPED": 1}

    class Network:
        num_layers, num_outputs, name = 5, 2, ""

    class Parser:
        num_errors = 0

        def __init__(self, network: Network, logger: ILogger) -> None:
            assert isinstance(network, Network)
            assert isinstance(logger, ILogger)

        def parse(self, content: bytes) -> bool:
            record.told["content"] = content
            return True

    class Config:
        def set_flag(self, flag: object) -> None:
            record.told["flags"].append(flag)

        def set_memory_pool_limit(self, pool: str, size: int) -> None:
            record.told[pool] = size

        def add_optimization_profile(self, profile: object) -> None:
            record.told["profile"] = profile

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
            for line in says:
                self._logger.log(Severity.ERROR, line)
            self._logger.log(Severity.INFO, "this is nothing that anybody needs to know")
            return built

    return SimpleNamespace(
        __version__=version,
        record=record,
        ILogger=ILogger,
        Builder=Builder,
        OnnxParser=Parser,
        NetworkDefinitionCreationFlag=enum.IntEnum("NetworkDefinitionCreationFlag", creation),
        BuilderFlag=SimpleNamespace(FP16="FP16"),
        MemoryPoolType=SimpleNamespace(WORKSPACE="WORKSPACE"),
    )
