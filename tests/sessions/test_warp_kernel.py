"""The crop kernel: its source run on the host by a C++ compiler, and compiled by NVRTC; its cache and its faults."""

from __future__ import annotations

import ctypes
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from amfac_edge.declared.recipe import CropRule
from amfac_edge.errors import InputError, MachineError, MissingExtraError
from amfac_edge.keypoints import crop_affines, exact_crop, warp_crops
from amfac_edge.sessions import warp_kernel
from amfac_edge.sessions.warp_kernel import DeviceFrame, WarpKernel, compiled_by_nvrtc, kernel_source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

COMPILER = shutil.which("g++")
DRIVER = Path(__file__).with_name("warp_on_host.cpp")
CROP = CropRule(48, 36)

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no g++ to run the kernel's source on the host")
needs_nvrtc = pytest.mark.skipif(
    importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.bindings") is None,
    reason="cuda-python is not installed",
)


class Host:
    """A `KernelDevice` of this machine's processor: "machine code" is a shared library by g++."""

    def __init__(self, folder: Path, driver_version: str = "12.6") -> None:
        self.compute_capability = "8.7"
        self.driver_version = driver_version
        self.compiled = 0
        self.streams: list[int] = []
        self._folder = folder

    def compile(self, source: bytes, compute_capability: str) -> bytes:
        assert compute_capability == "8.7"
        self.compiled += 1
        kernel, library = self._folder / "kernel.cu", self._folder / "kernel.so"
        kernel.write_bytes(source)
        words = ["-O1", "-shared", "-fPIC", "-Wall", "-Werror", f'-DWARP_SOURCE="{kernel}"', str(DRIVER)]
        subprocess.run([str(COMPILER), *words, "-o", str(library)], check=True)
        return library.read_bytes()

    def load(self, code: bytes, function: str) -> Any:  # noqa: ANN401 - of KernelDevice
        assert function == "amfac_warp"
        # A new file for each: one that is mapped must not be written again, and an id() may come back.
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".so", delete=False) as loaded:
            loaded.write(code)
        return ctypes.CDLL(loaded.name).launch

    def launch(
        self,
        function: Any,  # noqa: ANN401 - of KernelDevice
        grid: tuple[int, int, int],
        block: tuple[int, int, int],
        arguments: Sequence[np.generic],
        stream: int,
    ) -> None:
        types = {"uint64": ctypes.c_void_p, "int32": ctypes.c_int32, "int64": ctypes.c_int64}
        self.streams.append(stream)
        shape = ctypes.c_uint32 * 3
        function(shape(*grid), shape(*block), *(types[one.dtype.name](one.item()) for one in arguments))


def cut(kernel: WarpKernel, frame: NDArray[np.uint8], affines: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The crops of a frame (Hf,Wf,C), whose rows may lie apart."""
    crops = np.full((len(affines), CROP.height, CROP.width, 3), 111, np.uint8)
    places = affines.astype(np.float32)
    height, width, channels = frame.shape
    image = DeviceFrame(frame.ctypes.data, height, width, channels, pitch=frame.strides[0])
    kernel.enqueue(image, places.ctypes.data, crops.ctypes.data, (len(affines), CROP.height, CROP.width), stream=7)
    return crops


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> WarpKernel:
    if COMPILER is None:
        pytest.skip("no g++")
    folder = tmp_path_factory.mktemp("kernel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        return WarpKernel(Host(folder))


def scene(height: int, width: int, channels: int = 3) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """White noise and boxes in it, across its borders, around it and far outside, upright and turned."""
    frame = np.random.default_rng(height).integers(0, 256, (height, width, channels), np.uint8)
    parts = [[0.2, 0.2, 0.7, 0.8], [-0.2, -0.1, 0.4, 0.5], [-0.5, -0.5, 1.5, 1.5], [9e3, 9e3, 9e3 + 1, 9e3 + 1]]
    boxes = np.array(parts) * [width, height, width, height]
    return frame, crop_affines(boxes, CROP, np.array([0.0, -2.0, 0.5, 0.0]))


@needs_compiler
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("size", [(1, 1), (64, 90), (1080, 1920)])
def test_crops_are_the_exact_ones(kernel: WarpKernel, size: tuple[int, int], channels: int) -> None:
    frame, affines = scene(*size, channels)
    crops = cut(kernel, frame, affines)
    exact = np.stack([exact_crop(frame, affine, CROP.height, CROP.width) for affine in affines])[..., :3]
    # Half a level for the rounding; a place passes five float32 roundings of a side or less, a pixel is 255 levels.
    assert np.abs(crops - exact).max() <= 0.5 + 255 * 5 * sum(size) * 2.0**-24
    assert not crops[3].any()


@needs_compiler
def test_opencvs_crops_are_within_a_level(kernel: WarpKernel) -> None:
    frame, affines = scene(270, 480)
    warped = np.empty((len(affines), CROP.height, CROP.width, 3), np.uint8)
    warp_crops(frame, affines, warped)
    # OpenCV 4 samples on a grid of 1/32 pixel.
    bound = 1 if int(cv2.__version__.partition(".")[0]) >= 5 else 8
    assert np.abs(cut(kernel, frame, affines).astype(int) - warped).max() <= bound


@needs_compiler
def test_rows_may_lie_apart(kernel: WarpKernel) -> None:
    frame, affines = scene(64, 90)
    apart = np.zeros((64, 128, 3), np.uint8)
    apart[:, :90] = frame
    np.testing.assert_array_equal(cut(kernel, apart[:, :90], affines), cut(kernel, frame, affines))


@needs_compiler
def test_numbers_that_are_none_give_black(kernel: WarpKernel) -> None:
    frame, affines = scene(64, 90)
    affines[0], affines[1] = np.nan, 1e30
    assert not cut(kernel, frame, affines)[:2].any()


@needs_compiler
def test_it_is_compiled_once_for_a_driver(tmp_path: Path) -> None:
    first, second, other = Host(tmp_path), Host(tmp_path), Host(tmp_path, "13.0")
    for device in (first, second, other):
        cut(WarpKernel(device), *scene(8, 8))
        assert device.streams == [7]
    assert [device.compiled for device in (first, second, other)] == [1, 0, 1]
    kept = sorted((tmp_path / "cache" / "amfac-edge" / "kernels").iterdir())
    assert [path.name.rpartition(".cuda-")[0] for path in kept] == ["warp.sm_87", "warp.sm_87"]


@needs_compiler
def test_damaged_code_is_compiled_again(tmp_path: Path) -> None:
    WarpKernel(Host(tmp_path))
    (path,) = (tmp_path / "cache" / "amfac-edge" / "kernels").iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    again = Host(tmp_path)
    WarpKernel(again)
    assert again.compiled == 1


@needs_compiler
def test_another_source_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WarpKernel(Host(tmp_path))
    source = kernel_source()
    monkeypatch.setattr(warp_kernel, "kernel_source", lambda: source + b"\n// other\n")
    again = Host(tmp_path)
    WarpKernel(again)
    assert again.compiled == 1


@needs_compiler
def test_without_a_place_for_caches_it_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cut(WarpKernel(Host(tmp_path)), *scene(8, 8)).shape == (4, CROP.height, CROP.width, 3)


@needs_compiler
@pytest.mark.parametrize(("channels", "pitch"), [(1, 90), (3, 269)])
def test_frames_of_another_layout_are_refused(kernel: WarpKernel, channels: int, pitch: int) -> None:
    with pytest.raises(InputError, match=rf"{channels} channels, 90 pixels and {pitch} bytes a row"):
        kernel.enqueue(DeviceFrame(0, 64, 90, channels, pitch), 0, 0, (1, 8, 8))


@needs_nvrtc
@pytest.mark.parametrize("capability", ["8.6", "8.7", "8.9", "11.0"])
def test_nvrtc_compiles_it_for_every_target(capability: str) -> None:
    code = _compiled(kernel_source(), capability)
    assert code.startswith(b"\x7fELF")
    assert b"amfac_warp" in code


@needs_nvrtc
def test_what_nvrtc_says_is_the_reason() -> None:
    _compiled(kernel_source(), "8.7")
    with pytest.raises(MachineError, match=r"NVRTC refuses .* for compute capability 8\.7: .*\"x\" is undefined"):
        compiled_by_nvrtc(b"x y", "8.7")
    with pytest.raises(MachineError, match=r"compute capability 3\.0: NVRTC_ERROR_INVALID_OPTION"):
        compiled_by_nvrtc(kernel_source(), "3.0")


def test_without_cuda_python_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(MissingExtraError, match=r"compiling the crop kernel needs the package cuda-python"):
        compiled_by_nvrtc(b"", "8.7")


@pytest.mark.parametrize(
    ("version", "cure"),
    [
        ("12.6.2.post1", "On a Jetson: sudo apt install nvidia-jetpack"),
        ("12.8.0", "pip install nvidia-cuda-nvrtc-cu12 brings it"),
        ("12.9.4", "pip install nvidia-cuda-nvrtc-cu12 brings it"),
        ("13.2.0", "pip install nvidia-cuda-nvrtc brings it"),
        ("", "On a Jetson: sudo apt install nvidia-jetpack"),
    ],
)
def test_a_missing_nvrtc_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch, version: str, cure: str) -> None:
    def absent(*_: object) -> None:
        raise RuntimeError('Failure finding "libnvrtc.so"\nwith a second line')

    parent, bindings, nvrtc = ModuleType("cuda"), ModuleType("cuda.bindings"), ModuleType("cuda.bindings.nvrtc")
    vars(parent).update(bindings=bindings)
    vars(bindings).update(__version__=version, nvrtc=nvrtc)
    vars(nvrtc).update(nvrtcCreateProgram=absent)
    for module in (parent, bindings, nvrtc):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(MachineError, match=r"can't be loaded: Failure finding \"libnvrtc\.so\"\n") as caught:
        compiled_by_nvrtc(b"", "8.7")
    assert caught.value.cure.startswith(cure)
    assert "crops on the CPU" in caught.value.cure


def _compiled(source: bytes, capability: str) -> bytes:
    try:
        return compiled_by_nvrtc(source, capability)
    except MachineError as error:
        if "can't be loaded" in error.problem:
            pytest.skip("libnvrtc is not installed")
        raise
