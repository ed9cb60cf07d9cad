"""Libraries that are missing, or don't load, are named with what brings them; over the stand-in."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING

import pytest

from amfac_edge.artefact import RTX
from amfac_edge.compiler import plan_from_artefact
from amfac_edge.declared.target import load_target
from amfac_edge.errors import InputError, MachineError, MissingExtraError
from amfac_edge.sessions import open_session
from amfac_edge.sessions.pycuda_adapter import PycudaDevice
from tests.sessions import fake_cuda

if TYPE_CHECKING:
    from tests.sessions.conftest import Board

each_library = pytest.mark.parametrize("cuda", ["cuda-python", "cuda-python before 12.6", "pycuda"])


@pytest.mark.parametrize("flavour", ["tensorrt", RTX])
def test_a_missing_library_is_named(board: Board, flavour: str) -> None:
    rtx = flavour == RTX
    version = "1.7.1.116" if rtx else "10.3.0"
    board.install_tensorrt(version, rtx=rtx)
    plan = board.marker_plan(rtx=rtx, version=version)
    board.monkeypatch.setitem(sys.modules, flavour.replace("-", "_"), None)
    with pytest.raises(MachineError, match="running a plan needs"):
        open_session(plan)


def test_without_a_library_of_cuda_the_extras_are_named(board: Board) -> None:
    for name in (*fake_cuda.NAMES, "pycuda"):
        board.monkeypatch.setitem(sys.modules, name, None)
    plan = board.marker_plan()
    with pytest.raises(MissingExtraError, match=r"there is none\n  pip install \"amfac-edge\[cuda\]\".*jetson"):
        open_session(plan)
    with pytest.raises(MissingExtraError, match=r"cuda-python, which is not installed"):
        open_session(plan, cuda="cuda-python")
    with pytest.raises(
        MissingExtraError, match=r"pycuda, which is not installed\n  pip install \"amfac-edge\[pycuda\]"
    ):
        open_session(plan, cuda="pycuda")


def test_a_folder_that_is_named_cuda_is_no_library(board: Board) -> None:
    board.install_cuda("pycuda")
    (board.folder / "app" / "cuda").mkdir(parents=True)
    for name in fake_cuda.NAMES:
        board.monkeypatch.delitem(sys.modules, name, raising=False)
    board.monkeypatch.setattr(sys, "path", [str(board.folder / "app")])
    with open_session(board.marker_plan()) as session:
        assert "by pycuda" in session.settings.provider


def test_libraries_and_contexts_that_do_not_go_together_are_refused(board: Board) -> None:
    plan = board.marker_plan()
    with pytest.raises(InputError, match='cuda="cupy" is no library of CUDA that is known'):
        open_session(plan, cuda="cupy")
    with pytest.raises(InputError, match="a context of your own is pycuda's"):
        open_session(plan, cuda="cuda-python", context=object())


@each_library
def test_a_driver_that_does_not_work_is_told(board: Board, cuda: str) -> None:
    board.install_cuda(cuda)
    board.gpu.fail("cuInit", "cudaErrorNoDevice")
    with pytest.raises(MachineError, match=r"cuInit failed with cudaErrorNoDevice .*\n  amfac-doctor"):
        open_session(board.marker_plan())


def test_a_library_of_cuda_that_is_too_new_is_told(board: Board) -> None:
    board.gpu.fail("cudaStreamCreateWithFlags", "cudaErrorInsufficientDriver")
    with pytest.raises(MachineError, match=r"cudaErrorInsufficientDriver .*\n  pip install .cuda-python<13"):
        open_session(board.marker_plan())


def test_the_real_tensorrt_rtx_says_that_there_is_no_driver(board: Board) -> None:
    """The library itself, which takes the plan, finds no GPU, and gives None."""
    board.monkeypatch.delitem(sys.modules, "tensorrt_rtx")
    real = pytest.importorskip("tensorrt_rtx")
    artefact = board.markers.write_artefact(board.folder / "m.onnx")
    board.install_tensorrt(real.__version__, rtx=True)
    board.monkeypatch.setitem(sys.modules, "tensorrt_rtx", real)
    plan = plan_from_artefact(artefact, [load_target("rtx-3060")], board.folder, flavour=RTX).path
    try:
        session = open_session(plan)
    except MachineError as error:
        assert "there is no NVIDIA driver here that this CUDA can use" in error.problem  # noqa: PT017 - it may also load
    else:
        session.close()
        pytest.skip("there is a driver")


def test_a_machine_whose_cards_are_gone_is_told(board: Board) -> None:
    board.monkeypatch.setattr(sys.modules["cuda.bindings.driver"], "cuDeviceGetCount", lambda: (0, 0))
    with pytest.raises(MachineError, match=r"cuDeviceGetCount failed with cudaErrorNoDevice"):
        open_session(board.marker_plan())


class _Broken:
    """Finds modules whose libraries don't load."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        del path, target
        if name in self._names:
            raise ImportError(f"lib{name}.so: cannot open shared object file\nand more")


@pytest.mark.parametrize(
    ("cuda", "module", "problem"),
    [
        ("cuda-python", "cuda.bindings.runtime", "cuda-python is installed, and doesn't load: libcuda"),
        ("pycuda", "pycuda.driver", "pycuda is installed, and doesn't load: libpycuda"),
        ("cuda-python", "tensorrt", "tensorrt is installed, and doesn't load: libtensorrt"),
    ],
)
def test_libraries_that_do_not_load_are_told(board: Board, cuda: str, module: str, problem: str) -> None:
    board.install_cuda(cuda)
    plan = board.marker_plan()
    board.monkeypatch.delitem(sys.modules, module)
    for package in ("cuda.bindings", "cuda") if cuda == "cuda-python" else ("pycuda",):
        board.monkeypatch.setattr(sys.modules[package], "__path__", [], raising=False)
        board.monkeypatch.delattr(sys.modules[package], "driver", raising=False)
    board.monkeypatch.setattr(sys, "meta_path", [_Broken(module), *sys.meta_path])
    with pytest.raises(MachineError, match=rf"{problem}.*cannot open shared object file\n  amfac-doctor"):
        open_session(plan)


def test_pycudas_own_compiler_does_where_nvrtc_is_not(board: Board) -> None:
    board.install_cuda("pycuda")
    asked: dict[str, object] = {}

    def compiles(source: str, **options: object) -> bytes:
        asked.update(options, source=source)
        if "fails" in source:
            raise RuntimeError("nvcc not found\nat all")
        return b"code"

    compiler = types.ModuleType("pycuda.compiler")
    board.monkeypatch.setattr(compiler, "compile", compiles, raising=False)
    board.monkeypatch.setitem(sys.modules, "pycuda.compiler", compiler)
    board.monkeypatch.setattr(sys.modules["pycuda"], "compiler", compiler, raising=False)
    device = PycudaDevice()
    assert device.compile(b"source", "8.7") == b"code"
    assert asked == {"arch": "sm_87", "no_extern_c": True, "source": "source"}
    with pytest.raises(MachineError, match=r"pycuda's compiler refuses the crop kernel: nvcc not found\n  Use crops"):
        device.compile(b"this fails", "8.7")
