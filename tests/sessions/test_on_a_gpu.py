"""Both adapters of CUDA, ONNX Runtime's CUDA provider and plans of both TensorRTs on a real GPU; skipped without one.

`python -m pytest -m gpu -rs` says what ran and what was missing.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from amfac_edge.artefact import RTX, TENSORRT, read_manifest
from amfac_edge.compiler import BuildOptions, has_builder, plan_from_artefact
from amfac_edge.declared.target import load_target, target_names
from amfac_edge.errors import MachineError
from amfac_edge.keypoints import crop_affines, exact_crop
from amfac_edge.performance.measuring import measure_artefact, still_frame
from amfac_edge.performance.timing import Limits
from amfac_edge.runtime import PoseEstimator
from amfac_edge.sessions import open_session
from amfac_edge.sessions.cuda import CUDA_LIBRARIES, Buffer, open_device
from amfac_edge.sessions.warp_kernel import DeviceFrame, WarpKernel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

    from amfac_edge.sessions.cuda import CudaDevice, CudaStream
    from amfac_edge.sessions.warp_kernel import KernelDevice

pytestmark = pytest.mark.gpu


@pytest.fixture(params=CUDA_LIBRARIES)
def device(request: pytest.FixtureRequest) -> Iterator[CudaDevice]:
    try:
        opened = open_device(request.param)
    except MachineError as error:
        pytest.skip(f"no GPU by {request.param}: {error.problem}")
    with opened.current():
        yield opened
    opened.close()


@pytest.fixture(params=["block", "spin"])
def stream(request: pytest.FixtureRequest, device: CudaDevice) -> Iterator[CudaStream]:
    made = device.stream(spinning=request.param == "spin")
    yield made
    made.close()


def _filled(device: CudaDevice, size: int, *, mapped: bool = False) -> Buffer:
    buffer = device.host_buffer(size, mapped=mapped)
    assert buffer.array is not None
    assert not buffer.array.any()
    buffer.array[:] = np.random.default_rng(size).integers(0, 256, size, np.uint8)
    return buffer


def test_the_device_says_what_it_is(device: CudaDevice) -> None:
    assert device.name
    assert float(device.compute_capability) >= 5
    assert float(device.driver_version) >= 11
    assert device.lost is None


def test_bytes_go_there_and_back(device: CudaDevice, stream: CudaStream) -> None:
    size = 1_000_003
    there, other, back = device.device_buffer(size), device.device_buffer(size), device.host_buffer(size, mapped=False)
    given = _filled(device, size)
    stream.copy(there, given, size)
    stream.copy(other, there, size)
    stream.copy(back, other, size)
    stream.wait()
    assert there.address % 256 == 0
    assert back.array is not None
    np.testing.assert_array_equal(back.array, given.array)
    for buffer in (there, other, back, given):
        device.free(buffer)


def test_mapped_memory_is_the_gpus_too(device: CudaDevice, stream: CudaStream) -> None:
    given, taken = _filled(device, 4096, mapped=True), device.host_buffer(4096, mapped=True)
    stream.copy(taken, given, 4096)
    stream.wait()
    assert taken.array is not None
    np.testing.assert_array_equal(taken.array, given.array)
    device.free(given)
    device.free(taken)


def test_a_graph_does_again_what_was_captured(device: CudaDevice, stream: CudaStream) -> None:
    if not device.has_graphs:
        pytest.skip(f"{device.library} has no CUDA graphs")
    given, there, back = _filled(device, 4096), device.device_buffer(4096), device.host_buffer(4096, mapped=False)
    assert given.array is not None
    assert back.array is not None

    def work() -> None:
        stream.copy(there, given, 4096)
        stream.copy(back, there, 4096)

    graph = stream.capture(work)
    stream.wait()
    assert not back.array.any()
    for value in (3, 9):
        given.array[:] = value
        graph.launch()
        stream.wait()
        assert (back.array == value).all()
    graph.close()
    with pytest.raises(MachineError, match="cudaErrorStreamCapture"):
        stream.capture(stream.wait)
    work()  # the stream is as it was
    stream.wait()
    for buffer in (given, there, back):
        device.free(buffer)


def test_memory_that_is_not_there_is_told(device: CudaDevice) -> None:
    with pytest.raises(MachineError, match="cudaErrorMemoryAllocation"):
        device.device_buffer(1 << 50)
    device.free(device.device_buffer(1 << 20))


def test_threads_may_take_turns(device: CudaDevice, stream: CudaStream) -> None:
    given, there, back = _filled(device, 4096), device.device_buffer(4096), device.host_buffer(4096, mapped=False)

    def turn(_: int) -> bool:
        with device.current():
            stream.copy(there, given, 4096)
            stream.copy(back, there, 4096)
            stream.wait()
            return np.array_equal(given.array, back.array)  # type: ignore[arg-type]

    with ThreadPoolExecutor(1) as pool:
        assert all(pool.map(turn, range(3)))
    for buffer in (given, there, back):
        device.free(buffer)


def test_the_kernel_cuts_what_the_definition_says(
    device: CudaDevice, stream: CudaStream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, markers: ModuleType
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    rng, crop = np.random.default_rng(0), markers.RECIPE.crop
    picture = rng.integers(0, 256, (120, 160, 3), np.uint8)
    affines = crop_affines(np.array([(10.0, 10, 60, 90), (-20, 5, 100, 140)]), crop)
    kernel = WarpKernel(cast("KernelDevice", device))  # both adapters are one
    frame, places, crops = (
        device.host_buffer(size, mapped=True) for size in (picture.size, 48, 2 * crop.height * crop.width * 3)
    )
    assert frame.array is not None
    assert places.array is not None
    assert crops.array is not None
    frame.array[:] = picture.reshape(-1)
    places.array[:] = affines.astype(np.float32).reshape(-1).view(np.uint8)
    where = DeviceFrame(frame.address, 120, 160, 3, 480)
    kernel.enqueue(where, places.address, crops.address, (2, crop.height, crop.width), stream.handle)
    stream.wait()
    found = crops.array.reshape(2, crop.height, crop.width, 3).astype(np.float64)
    expected = [exact_crop(picture, affine, crop.height, crop.width) for affine in affines]
    assert np.abs(found - expected).max() <= 1
    for buffer in (frame, places, crops):
        device.free(buffer)


# ---------------------------------------------------------------------------------------------------------- whole files


def _crops(markers: ModuleType, people: int) -> NDArray[np.uint8]:
    return np.stack([markers.painted_crop(markers.spread_places(seed)) for seed in range(people)])


def test_onnxruntime_runs_on_the_card(markers: ModuleType, tmp_path: Path) -> None:
    artefact, crops = markers.write_artefact(tmp_path / "m.onnx", batch="1-4"), _crops(markers, 5)
    with open_session(artefact) as cpu:
        expected = cpu.run(crops)
    try:
        session = open_session(artefact, provider="cuda")
    except MachineError as error:
        pytest.skip(error.problem)
    with session:
        np.testing.assert_array_equal(session.run(crops)[0], expected[0])


Build = Callable[["Path"], "Path"]


@pytest.fixture(params=[TENSORRT, RTX])
def built(request: pytest.FixtureRequest, device: CudaDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Builds a plan for the GPU here: by TensorRT proper, as a Jetson has it, and by TensorRT-RTX."""
    flavour: str = request.param
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if not has_builder(flavour):
        pytest.skip(f"{flavour} isn't installed")
    targets = [
        target
        for target in map(load_target, target_names())
        if target.gpu is not None
        and target.gpu.compute_capability == device.compute_capability
        and (flavour == TENSORRT or target.kind == "rtx")
    ]
    if not targets:
        pytest.skip(f"no target of {flavour} has compute capability {device.compute_capability} ({device.name})")
    # Whichever module of Jetson this is: it is tried here, and goes nowhere.
    options = BuildOptions(any_gpu=True, memory_check=False)
    return lambda artefact: plan_from_artefact(artefact, targets[:1], tmp_path, flavour=flavour, options=options).path


@pytest.fixture
def plan(device: CudaDevice, built: Build, markers: ModuleType, tmp_path: Path) -> tuple[Path, str]:
    """A plan of crops, and the library of CUDA to run it with."""
    return built(markers.write_artefact(tmp_path / "m.onnx", batch="1-4")), device.library.partition(" ")[0]


def test_what_was_built_is_what_the_driver_says(plan: tuple[Path, str], device: CudaDevice) -> None:
    facts = read_manifest(plan[0]).plan
    assert facts is not None
    if facts.flavour == TENSORRT:
        assert facts.gpu_name == device.name
        assert facts.layer_precision
    assert facts.compute_capabilities == (device.compute_capability,)


@pytest.mark.parametrize("wait", ["block", "spin"])
def test_a_plan_gives_the_numbers_of_the_cpu(plan: tuple[Path, str], markers: ModuleType, wait: str) -> None:
    path, cuda = plan
    crops = _crops(markers, 5)
    with open_session(path.parent / "m.onnx") as cpu, open_session(path, cuda=cuda, wait=wait) as session:
        for people in (1, 2, 3, 4, 5, 1):
            for found, expected in zip(session.run(crops[:people]), cpu.run(crops[:people]), strict=True):
                np.testing.assert_allclose(found, expected, atol=1e-6)


def test_crops_cut_by_the_gpu_give_the_joints_of_the_cpus(plan: tuple[Path, str], markers: ModuleType) -> None:
    path, cuda = plan
    frame, box = markers.painted_crop(markers.spread_places()), [(4, 6, 43, 57)]
    with PoseEstimator(path, cuda=cuda) as cpu, PoseEstimator(path, cuda=cuda, crops="gpu") as gpu:
        np.testing.assert_allclose(gpu(frame, box).scores, cpu(frame, box).scores, atol=1 / 255)


def test_a_plan_of_frames_gives_the_numbers_of_the_cpu(
    device: CudaDevice, built: Build, markers: ModuleType, made_frame_network: ModuleType, tmp_path: Path
) -> None:
    artefact = made_frame_network.write_artefact(tmp_path / "f.onnx", markers.RECIPE)
    plan = built(artefact)
    boxes = [(10, 10, 60, 70), (30, 5, 80, 80), (-20, 0, 40, 100), (0, 0, 119, 89), (5, 5, 30, 60)]
    with PoseEstimator(artefact) as cpu, PoseEstimator(plan, cuda=device.library.partition(" ")[0]) as gpu:
        for height, width in ((90, 120), (720, 1280), (90, 120)):
            frame = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
            for people in (1, 4, 5):
                found, expected = gpu(frame, boxes[:people]), cpu(frame, boxes[:people])
                # Coordinates pass a handful of float32 roundings.
                np.testing.assert_allclose(found.keypoints, expected.keypoints, rtol=1e-5, atol=1e-2)


def test_a_second_process_opens_the_plan_meanwhile(plan: tuple[Path, str]) -> None:
    path, cuda = plan
    found = measure_artefact(
        path, frame=still_frame(240, 320), people=5, limits=Limits(iterations=5), gpu={"cuda": cuda}
    )
    assert {name: len(one.samples_ms) for name, one in found.series.items()} == dict.fromkeys(found.series, 5)
    assert found.first_ms > 0


def test_what_torch_has_on_the_gpu_is_taken_there(plan: tuple[Path, str], markers: ModuleType) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    path, cuda = plan
    crops = _crops(markers, 5)
    with open_session(path, cuda=cuda) as session:
        expected = session.run(crops)[0]
        for _ in range(20):
            # Made on a stream of torch's own, which the array has no way to name.
            with torch.cuda.stream(torch.cuda.Stream()):
                there = torch.from_numpy(crops).cuda(non_blocking=True).flip(0).flip(0).contiguous()
                np.testing.assert_array_equal(session.run(there)[0], expected)
