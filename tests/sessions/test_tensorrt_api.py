"""Every name that our code uses of TensorRT's bindings is there in each version, or its absence is known and handled.

`tests/facts/tensorrt_api.json` was recorded from NVIDIA's wheels by the script beside it. The code is read, not run: an
expression is followed from the module (a variable or attribute named `trt`) through its classes and through what their
methods give. Names in `getattr(x, "NAME", ...)` and `hasattr` are asked for, so one version that has them is enough.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import NamedTuple

import pytest

RECORD = json.loads((Path(__file__).parents[1] / "facts" / "tensorrt_api.json").read_text())
VERSIONS: tuple[str, ...] = tuple(RECORD["versions"])
ROOMS = [Path(__file__).parents[2] / "amfac_edge" / room for room in ("compiler", "sessions")]
MODULE_NAMES = {"trt", "_trt", "tensorrt", "tensorrt_rtx"}
# What methods give, as NVIDIA documents it.
RESULTS = {
    "create_network": "INetworkDefinition",
    "create_builder_config": "IBuilderConfig",
    "create_optimization_profile": "IOptimizationProfile",
    "create_timing_cache": "ITimingCache",
    "get_timing_cache": "ITimingCache",
    "build_serialized_network": "IHostMemory",
    "deserialize_cuda_engine": "ICudaEngine",
    "create_execution_context": "IExecutionContext",
    "create_engine_inspector": "EngineInspector",
    "create_execution_context_without_device_memory": "IExecutionContext",
    "create_runtime_config": "IRuntimeConfig",
    "create_runtime_cache": "IRuntimeCache",
    "get_error": "ParserError",
    "get_layer": "ILayer",
    "get_input": "ITensor",
    "get_output": "ITensor",
    "add_input": "ITensor",
}
# An untyped parameter of such a name is one of these: what a function of ours is handed.
PARAMETERS = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "parser": "OnnxParser",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "inspector": "EngineInspector",
    "timing_cache": "ITimingCache",
    "runtime_config": "IRuntimeConfig",
    "runtime_cache": "IRuntimeCache",
}
# What some versions lack and our code uses all the same, because it looks first or never gets there.
_PROPER = ("8.6.1", "10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106")
ALLOWED: dict[str, tuple[str, ...]] = {
    # compiler.building asks for the first of these five; where it is there, the others are not touched.
    "NetworkDefinitionCreationFlag.STRONGLY_TYPED": ("8.6.1",),
    "NetworkDefinitionCreationFlag.EXPLICIT_BATCH": ("11.4.0.106", "rtx-1.7.1.116"),
    "BuilderFlag.FP16": ("11.4.0.106", "rtx-1.7.1.116"),
    "BuilderFlag.INT8": ("11.4.0.106", "rtx-1.7.1.116"),
    "BuilderFlag.OBEY_PRECISION_CONSTRAINTS": ("11.4.0.106", "rtx-1.7.1.116"),
    # compiler.building tells 8.6 alone of it: later ones share profiles anyway.
    "PreviewFeature.PROFILE_SHARING_0806": ("11.4.0.106", "rtx-1.7.1.116"),
    # compiler.progress looks whether there is a monitor to be given.
    "IProgressMonitor": ("8.6.1",),
    "IBuilderConfig.progress_monitor": ("8.6.1",),
    # sessions.tensorrt_engine asks for the strategy; where it isn't, contexts are made in the way of 8.6.
    "ExecutionContextAllocationStrategy": ("8.6.1",),
    "ExecutionContextAllocationStrategy.USER_MANAGED": ("8.6.1",),
    "ICudaEngine.device_memory_size_v2": ("8.6.1",),
    "ICudaEngine.device_memory_size": ("11.4.0.106", "rtx-1.7.1.116"),
    "ICudaEngine.create_execution_context_without_device_memory": ("11.4.0.106", "rtx-1.7.1.116"),
    "IExecutionContext.set_device_memory": ("8.6.1",),
    # sessions.rtx_runtime is for TensorRT-RTX only.
    "ICudaEngine.create_runtime_config": ("8.6.1", "10.3.0"),
    "CudaGraphStrategy": _PROPER,
    "CudaGraphStrategy.WHOLE_GRAPH_CAPTURE": _PROPER,
    "IRuntimeConfig.cuda_graph_strategy": _PROPER,
    "DynamicShapesKernelSpecializationStrategy": _PROPER,
    "DynamicShapesKernelSpecializationStrategy.EAGER": _PROPER,
    "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy": _PROPER,
    "IRuntimeConfig.create_runtime_cache": _PROPER,
    "IRuntimeConfig.set_runtime_cache": _PROPER,
    "IRuntimeCache.deserialize": _PROPER,
    "IRuntimeCache.serialize": _PROPER,
    # Only TensorRT-RTX builds for cards that are not there.
    "ComputeCapability": _PROPER,
    "IBuilderConfig.num_compute_capabilities": _PROPER,
    "IBuilderConfig.set_compute_capability": _PROPER,
}


class Use(NamedTuple):
    """One name of one class (or of the module, "") in one line; `asked`: by getattr or hasattr."""

    owner: str
    name: str
    line: int
    asked: bool


def _members() -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for owner, groups in RECORD["names"].items():
        for versions, names in groups.items():
            having = VERSIONS if versions == "all" else tuple(versions.split())
            found.setdefault(owner, {}).update(dict.fromkeys(names.split(), having))
    return found


MEMBERS = _members()


class _Follower(ast.NodeVisitor):
    """Collects the uses in one module."""

    def __init__(self) -> None:
        self.uses: list[Use] = []
        self.types: dict[str, str] = {}

    def type_of(self, node: ast.expr) -> str | None:
        """The class that an expression is of, or is; "" for the module, None for what isn't TensorRT's."""
        if isinstance(node, ast.Name):
            return "" if node.id in MODULE_NAMES else self.types.get(node.id)
        if isinstance(node, ast.Attribute):
            if node.attr in MODULE_NAMES:
                return ""
            owner = self.type_of(node.value)
            if owner == "" and node.attr in MEMBERS:
                return node.attr
            return RESULTS.get(node.attr) if owner else self.types.get(ast.unparse(node))
        if isinstance(node, ast.Call):
            return self.type_of(node.func)
        return self.type_of(node.value) if isinstance(node, ast.NamedExpr) else None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outside = dict(self.types)
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            self.types.pop(argument.arg, None)
            if argument.arg in PARAMETERS and argument.annotation and ast.unparse(argument.annotation) == "Any":
                self.types[argument.arg] = PARAMETERS[argument.arg]
        self.generic_visit(node)
        # Local names end here; what was bound to an attribute of self stays.
        self.types = outside | {name: kind for name, kind in self.types.items() if "." in name}

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self._bind(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        if node.value is not None:
            self._bind(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.generic_visit(node)
        self._bind(node.target, node.value)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        self._use(self.type_of(node.value), node.attr, node.lineno, asked=False)

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in {"getattr", "hasattr"} and len(node.args) > 1:
            name = node.args[1]
            if isinstance(name, ast.Constant):
                self._use(self.type_of(node.args[0]), str(name.value), node.lineno, asked=True)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        found = self.type_of(value)
        if found:
            self.types[ast.unparse(target)] = found

    def _use(self, owner: str | None, name: str, line: int, *, asked: bool) -> None:
        if owner is not None and not name.startswith("__") and name not in MODULE_NAMES:
            self.uses.append(Use(owner, name, line, asked))


def _uses(source: str) -> list[Use]:
    """The uses in a source that has to do with TensorRT; ONNX Runtime's engines have such names too."""
    if "tensorrt" not in source.lower() and "trt" not in source:
        return []
    follower = _Follower()
    follower.visit(ast.parse(source))
    return follower.uses


def _faults(source: str) -> list[str]:
    """What a version lacks of what a source uses."""
    faults = []
    for use in _uses(source):
        having = MEMBERS.get(use.owner, {}).get(use.name, ())
        full = f"{use.owner}.{use.name}".lstrip(".")
        lacking = tuple(version for version in VERSIONS if version not in having)
        if not having:
            faults.append(f"line {use.line}: {full} is in no version")
        elif lacking and not use.asked and lacking != ALLOWED.get(full):
            faults.append(f"line {use.line}: {full} is not in {', '.join(lacking)}")
    return faults


def _sources() -> list[Path]:
    return sorted(source for room in ROOMS for source in room.glob("*.py"))


@pytest.mark.parametrize("source", _sources(), ids=lambda source: f"{source.parent.name}/{source.name}")
def test_every_name_is_in_every_version(source: Path) -> None:
    assert _faults(source.read_text()) == []


def test_what_is_allowed_is_used() -> None:
    used = {f"{use.owner}.{use.name}".lstrip(".") for source in _sources() for use in _uses(source.read_text())}
    assert ALLOWED.keys() <= used


def test_the_record_is_of_the_versions_that_boards_and_cards_have() -> None:
    assert VERSIONS == ("8.6.1", "10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106", "rtx-1.7.1.116")


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        ("BuilderFlag.FP16", ("11.4.0.106", "rtx-1.7.1.116")),
        ("NetworkDefinitionCreationFlag.EXPLICIT_BATCH", ("11.4.0.106", "rtx-1.7.1.116")),
        ("NetworkDefinitionCreationFlag.STRONGLY_TYPED", ("8.6.1",)),
        ("IBuilderConfig.progress_monitor", ("8.6.1",)),
        ("ICudaEngine.device_memory_size_v2", ("8.6.1",)),
        ("OnnxParser.supports_model_v2", ("8.6.1",)),
        ("ComputeCapability.SM86", ("8.6.1", "10.3.0", "10.13.3.9", "10.16.1.11", "11.4.0.106")),
        ("IExecutionContext.execute_async_v3", ()),
        ("Builder.build_serialized_network", ()),
    ],
)
def test_the_record_says_what_is_known_otherwise(name: str, lacking: tuple[str, ...]) -> None:
    owner, _, member = name.partition(".")
    assert tuple(version for version in VERSIONS if version not in MEMBERS[owner][member]) == lacking


@pytest.mark.parametrize(
    ("source", "faults"),
    [
        ("trt.Builder(log).create_network(0).num_layers", []),
        ("trt.BuilderFlag.BF16", ["line 1: BuilderFlag.BF16 is not in 8.6.1, 11.4.0.106, rtx-1.7.1.116"]),
        (
            "c = trt.Builder(log).create_builder_config()\nc.set_flags(1)",
            ["line 2: IBuilderConfig.set_flags is in no version"],
        ),
        ("self._builder = trt.Builder(log)\nself._builder.x()", ["line 2: Builder.x is in no version"]),
        ("getattr(trt.BuilderFlag, 'FP16', None)", []),
        ("getattr(self.trt.BuilderFlag, 'FP61', None)", ["line 1: BuilderFlag.FP61 is in no version"]),
        ("hasattr(trt, 'Nonsense')", ["line 1: Nonsense is in no version"]),
        ("class Own(trt.IDebugListener): ...", ["line 1: IDebugListener is not in 8.6.1"]),
        ("(run := trt.Runtime(x)).deserialize_cuda_engine(b'').refit", ["line 1: ICudaEngine.refit is in no version"]),
        ("def f(trt: Any, engine: Any):\n engine.refit\n engine.name", ["line 2: ICudaEngine.refit is in no version"]),
        ("def f(config: Settings):\n config.anything", []),
        ("other.thing.FP16; trt.__version__", []),
    ],
)
def test_uses_are_followed(source: str, faults: list[str]) -> None:
    assert _faults(source) == faults
