"""A GPU that is none, the libraries over it, and plans for them."""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from amfac_edge.artefact import RTX, TENSORRT, Host, HostGpu, manifest_path
from amfac_edge.artefact.manifest_reading import read_manifest
from amfac_edge.files import sha256_of
from amfac_edge.sessions import tensorrt_session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from tests.sessions.fake_gpu import FakeGpu

RTX_VERSION = "1.7.1.116"


def _fake(name: str) -> ModuleType:
    # Test folders are no packages: each is found by its path, and finds the others by their full names.
    full = f"tests.sessions.{name}"
    if full not in sys.modules:
        spec = importlib.util.spec_from_file_location(full, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full] = module
        spec.loader.exec_module(module)
    return sys.modules[full]


fake_gpu, fake_cuda, fake_pycuda, fake_runtime = (
    _fake(name) for name in ("fake_gpu", "fake_cuda", "fake_pycuda", "fake_tensorrt_runtime")
)


@dataclasses.dataclass
class Board:
    """A machine with a GPU that is none, and what is installed on it."""

    gpu: FakeGpu
    monkeypatch: pytest.MonkeyPatch
    folder: Path
    markers: ModuleType
    made_plans: ModuleType
    library: ModuleType
    host: Host

    def install(self, modules: dict[str, ModuleType | None]) -> None:
        for name, module in modules.items():
            self.monkeypatch.setitem(sys.modules, name, module)

    def install_cuda(self, which: str) -> None:
        """cuda-python, its older names, or pycuda; none of the others."""
        for name in (*fake_cuda.NAMES, "pycuda", "pycuda.driver"):
            self.monkeypatch.setitem(sys.modules, name, None)
        if which == "pycuda":
            self.install(fake_pycuda.pycuda(self.gpu))
        else:
            self.install(fake_cuda.cuda_python(self.gpu, old=which == "cuda-python before 12.6"))

    def install_tensorrt(self, version: str = "10.3.0", *, rtx: bool = False, lean: bool = False) -> None:
        self.library = fake_runtime.bindings(self.gpu, version, rtx=rtx, lean=lean)
        for name in ("tensorrt", "tensorrt_lean", "tensorrt_rtx"):
            self.monkeypatch.setitem(sys.modules, name, None)
        self.install({self.library.__name__: self.library})
        flavour = RTX if rtx else TENSORRT
        self.host = Host(
            system="linux",
            architecture="x86_64",
            target="rtx-3060",
            gpus=(HostGpu("8.6", "NVIDIA GeForce RTX 3060"),),
            libraries={flavour: version},
            driver="560.35.03",
        )
        self.monkeypatch.setattr(tensorrt_session, "this_host", lambda: self.host)

    def plan_of(
        self,
        onnx_path: Path,
        *,
        version: str = "10.3.0",
        rtx: bool = False,
        profile: dict[str, Any] | None = None,
        scratch: int = 4096,
        shared: bool = True,
        name: str = "",
        **facts: object,
    ) -> Path:
        """The plan of an ONNX artefact, its manifest beside it."""
        described = read_manifest(onnx_path)
        if profile is None:
            profile = _profile(described)
        body = fake_runtime.plan_body(
            onnx_path.read_bytes(), version=version, profile=profile, scratch=scratch, shared=shared, name=name
        )
        content = self.made_plans.rtx_plan(body=body) if rtx else self.made_plans.plan(body=body)
        path = self.folder / (onnx_path.stem + (".rtx.plan" if rtx else ".plan"))
        path.write_bytes(content)
        known = self.made_plans.rtx_facts() if rtx else self.made_plans.facts("rtx-3060", tensorrt_version=version)
        described = dataclasses.replace(
            described,
            target="rtx-3060",
            digests={"artefact": sha256_of(content)},
            plan=dataclasses.replace(known, profile={}, **facts),
        )
        manifest_path(path).write_bytes(described.as_bytes())
        return path

    def marker_plan(self, batch: str = "1-4", **options: Any) -> Path:  # noqa: ANN401
        return self.plan_of(self.markers.write_artefact(self.folder / f"m{batch}.onnx", batch=batch), **options)

    def alive(self) -> dict[str, int]:
        """What nobody has freed, by kind."""
        if any(self.gpu.alive().values()):
            gc.collect()
        return {kind: count for kind, count in self.gpu.alive().items() if count}


def _profile(described: Any) -> dict[str, Any]:  # noqa: ANN401
    batch = described.batch
    sides = {"frame_height": (64, 1080, 2160), "frame_width": (64, 1920, 3840)}
    people = (batch.minimum, batch.optimum, batch.maximum)
    return {
        tensor.name: [
            [sides.get(side, people)[place] if isinstance(side, str) else side for side in tensor.shape]
            for place in range(3)
        ]
        for tensor in described.inputs
        if any(isinstance(side, str) for side in tensor.shape)
    }


@pytest.fixture
def board(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    markers: ModuleType,
    made_plans: ModuleType,
) -> Iterator[Board]:
    """A board; nothing may be left on its GPU when the test ends."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    options = getattr(request, "param", {})
    made = Board(fake_gpu.FakeGpu(**options), monkeypatch, tmp_path, markers, made_plans, fake_cuda, Host("", ""))
    made.install_cuda("cuda-python")
    made.install_tensorrt()
    yield made
    if not made.gpu.sticky:
        assert made.alive() == {}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler for the crop kernel."""
    for adapter in ("cuda_python", "pycuda_adapter"):
        monkeypatch.setattr(f"amfac_edge.sessions.{adapter}.compiled_by_nvrtc", fake_gpu.compiled)
