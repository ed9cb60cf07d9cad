"""Plans of TensorRT (8.6 to 11, the lean runtime too) and of TensorRT-RTX on an NVIDIA GPU.

Right by construction, as far as a stand-in that holds the libraries' documented contract can tell: nobody has seen this
run on a board.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from amfac_edge.artefact import examine
from amfac_edge.errors import InputError, MachineError, ModelFileError
from amfac_edge.sessions.ahead import Ahead, Ticket
from amfac_edge.sessions.arguments import check_affines, check_crops, check_frame, check_images
from amfac_edge.sessions.contract import check_contract, check_input_kind, facts_of, results_of
from amfac_edge.sessions.cuda import CudaDevice, open_device
from amfac_edge.sessions.gpu_arrays import GpuArray, OnGpu, gpu_array, on_gpu
from amfac_edge.sessions.gpu_crops import GpuCrops
from amfac_edge.sessions.host import this_host
from amfac_edge.sessions.lost_manifest import manifest_of_engine, no_manifest
from amfac_edge.sessions.opening import WAITS
from amfac_edge.sessions.session import EngineTimes, SessionSettings
from amfac_edge.sessions.tensorrt_engine import LoadedEngine
from amfac_edge.sessions.tensorrt_runner import EngineRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from amfac_edge.artefact import DetectorFacts, Manifest
    from amfac_edge.sessions.tensorrt_engine import Shapes

__all__ = ["TensorRtSession"]

_REEXPORT = "Export the model again with amfac-export."
# Batch sizes that are made ready while loading; further ones when they come.
_WARMED_UP = 8


class TensorRtSession:
    """A `PoseSession` and `FrameSession`, or a `DetectorSession`, over a plan.

    Calls of several threads run one after the other.

    Args:
        path: of the plan, its manifest beside it.
        cuda: see `cuda.open_device`.
        context: see `cuda.open_device`.
        wait: "block" lets the core do other work while the GPU computes; "spin" keeps it busy, which saves some
            microseconds.
        host_code: run a version-compatible plan's own code on the CPU. Only for plans whose maker you trust.
        by_name: what a plan is that has lost its manifest, its engine's name tells.
        detector: whether a person detector is wanted, rather than a pose network.

    Raises:
        ModelFileError: the plan or its manifest can't be used.
        MachineError: the plan is not for this machine, or the machine lacks something.
        InputError: no such file, or an argument that isn't known.
    """

    def __init__(
        self,
        path: Path,
        *,
        cuda: str | None = None,
        context: Any = None,  # noqa: ANN401 - pycuda's own
        wait: str = "block",
        host_code: bool = False,
        by_name: bool = False,
        detector: bool = False,
    ) -> None:
        if wait not in WAITS:
            raise InputError(f'wait="{wait}" is no way to wait', cure='Give "block" or "spin".')
        self._path, self._lock, self._ahead = path, threading.Lock(), Ahead()
        self._closed = True
        examined = examine(path, dataclasses.replace(this_host(), host_code_allowed=host_code))
        examined.verdict.require(path)
        known = examined.manifest
        if known is None and not by_name:
            raise no_manifest(path)
        if known is not None:
            results_of(known, detector=detector)  # what is of the other kind isn't loaded
        capabilities = examined.header.compute_capabilities or (
            known.plan.compute_capabilities if known and known.plan else ()
        )
        self._device: CudaDevice = open_device(cuda, context=context, capabilities=capabilities)
        try:
            with self._device.current(), contextlib.ExitStack() as resources:
                self._stream = self._device.stream(spinning=wait == "spin")
                resources.callback(self._stream.close)
                self._engine = LoadedEngine(path, examined, known, self._device, host_code=host_code)
                resources.callback(self._engine.close)
                self.manifest: Manifest = known or manifest_of_engine(
                    path, self._engine.name, self._engine.inputs, self._engine.outputs, self._engine.limits
                )
                self._results = results_of(self.manifest, detector=detector)
                check_contract(path, self.manifest, self._engine.inputs, self._engine.outputs, detector=detector)
                self._check_profile()
                largest = self.manifest.batch.maximum
                self._runner = EngineRunner(self._engine, self._device, self._stream, largest, resources)
                for shapes in self._expected_shapes():
                    self._runner.warm_up(shapes)
                self._engine.keep_cache()
                resources.callback(self._engine.keep_cache)
                self._resources = resources.pop_all()
        except BaseException:
            self._device.close()
            raise
        self._spinning = wait == "spin"
        self._cutter: GpuCrops | None = None
        self._closed = False

    @property
    def settings(self) -> SessionSettings:
        """How it runs; `notes` may grow as batches of other sizes come."""
        graphs = self._engine.captures_graphs or self._runner.graphs
        way = f"{'zero-copy, ' if self._device.integrated else ''}{'CUDA graphs' if graphs else 'no CUDA graphs'}"
        return SessionSettings(
            engine=self._engine.library,
            provider=f"{self._device.name} by {self._device.library} ({way})",
            threads=1,
            spinning=self._spinning,
            notes=(*self._device.notes, *self._engine.notes, *self._runner.notes),
        )

    @property
    def facts(self) -> DetectorFacts:
        """See `DetectorSession.facts`."""
        return facts_of(self.manifest)

    def run_images(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `DetectorSession.run_images`."""
        check_images(images, self.facts)
        with self._usable():
            return self._in_batches(images, self._pictures_in)

    def run(self, crops: NDArray[np.uint8] | OnGpu) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `PoseSession.run`.

        Args:
            crops: (N, H, W, 3) uint8 BGR; those that lie on the GPU are not copied to the host.
        """
        crop = self.manifest.recipe.crop
        people: NDArray[np.uint8] | GpuArray = cast("NDArray[np.uint8]", crops)
        if (there := on_gpu(crops)) is not None:
            people = gpu_array(there, what="crops", shape=(None, crop.height, crop.width, 3))
        else:
            check_crops(cast("NDArray[np.uint8]", crops), crop.height, crop.width)
        check_input_kind(self._path, self.manifest, "crops")
        with self._usable():
            return self._in_batches(people, self._pictures_in)

    def run_frame(
        self, frame_bgr: NDArray[np.uint8] | OnGpu, affines: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `FrameSession.run_frame`.

        Args:
            frame_bgr: (Hf, Wf, 3) uint8 BGR; one that lies on the GPU is not copied to the host.
            affines: (N, 2, 3) float32, crop pixels to frame pixels.

        Raises:
            InputError: also a frame that is smaller or larger than the plan's profile.
        """
        check_affines(affines)
        frame = _frame_of(frame_bgr)
        check_input_kind(self._path, self.manifest, "frame")
        self._check_frame_size(frame.shape)
        with self._usable():
            self._runner.write("frame", frame)

            def affines_in(part: NDArray[np.float32], rows: int) -> dict[str, tuple[int, ...]]:
                self._runner.write("affines", part, rows)
                return {"frame": frame.shape, "affines": (rows, 2, 3)}

            return self._in_batches(affines, affines_in)

    def run_cut(
        self, frame_bgr: NDArray[np.uint8] | OnGpu, affines: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `CuttingSession.run_cut`.

        Raises:
            MachineError: also where the kernel can't be compiled.
        """
        check_affines(affines)
        frame = _frame_of(frame_bgr, fourth_channel=True)
        check_input_kind(self._path, self.manifest, "crops")
        crop = self.manifest.recipe.crop
        with self._usable():
            if self._cutter is None:
                largest = self.manifest.batch.maximum
                self._cutter = GpuCrops(self._device, self._stream, largest, self._resources)
            cutter = self._cutter
            cutter.take_frame(frame)

            def cut(part: NDArray[np.float32], rows: int) -> dict[str, tuple[int, ...]]:
                cutter.cut(part, self._runner.input_address("crops"), crop.height, crop.width)
                return {"crops": (rows, crop.height, crop.width, 3)}

            return self._in_batches(affines, cut)

    def run_timed(self, crops: NDArray[np.uint8]) -> EngineTimes:
        """See `TimedSession.run_timed`."""
        crop, batch = self.manifest.recipe.crop, self.manifest.batch
        check_crops(crops, crop.height, crop.width)
        check_input_kind(self._path, self.manifest, "crops")
        with self._usable():
            part = crops[: batch.maximum]
            shapes = self._shapes(self._pictures_in(part, max(len(part), batch.minimum)))
            self._runner.warm_up(shapes)
            self._stream.wait()
            return self._runner.timed(shapes)

    def submit(self, crops: NDArray[np.uint8]) -> Ticket[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """See `OnnxRuntimeSession.submit`."""
        return self._ahead.submit(lambda _: lambda: self.run(crops))

    def close(self) -> None:
        """See `PoseSession.close`."""
        self._ahead.close()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                # A lost context can't be entered, and has nothing to give back: objects are let go of all the same.
                with contextlib.nullcontext() if self._device.lost else self._device.current():
                    self._resources.close()
            except MachineError:
                if not self._device.lost:
                    raise
            finally:
                self._device.close()

    def __enter__(self) -> TensorRtSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # While Python ends, the libraries may be gone already; the driver frees everything then.
        if not getattr(self, "_closed", True) and not sys.is_finalizing():
            self.close()

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        """The session for this thread alone, in its CUDA context."""
        with self._lock:
            if self._closed:
                raise InputError(f"{self._path}: this session is closed", cure="Open the file again.")
            if self._device.lost:
                raise MachineError(
                    f"{self._path}: this session is dead since {self._device.lost}",
                    cure="Start this process anew: CUDA has ended everything that it had on the GPU.",
                )
            with self._device.current():
                yield

    def _in_batches(
        self, people: NDArray[Any] | GpuArray, hand_in: Callable[[Any, int], dict[str, tuple[int, ...]]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run `people` (N, ...) in batches that the plan takes.

        Args:
            people: crops, affines or pictures.
            hand_in: takes a part of them and how many the plan is to see; gives the shapes of the inputs.

        Returns:
            Keypoints (N, K, 2) and scores (N, K); of a detector boxes (N, A, 4) and scores (N, A).
        """
        batch, runner = self.manifest.batch, self._runner
        places, scores = (np.empty((len(people), *rest), np.float32) for _, rest in self._results)
        for start in range(0, len(people), batch.maximum):
            part = people[start : start + batch.maximum]
            rows, end = max(len(part), batch.minimum), start + len(part)
            runner.run(self._shapes(hand_in(part, rows)))
            for values, (name, rest) in zip((places, scores), self._results, strict=True):
                values[start:end] = runner.read(name, (rows, *rest))[: len(part)]
        return places, scores

    def _pictures_in(self, part: NDArray[np.uint8] | GpuArray, rows: int) -> dict[str, tuple[int, ...]]:
        name = self.manifest.input_kind
        self._runner.write(name, part, rows)
        return {name: (rows, *part.shape[1:])}

    def _shapes(self, by_name: dict[str, tuple[int, ...]]) -> Shapes:
        return tuple(by_name[tensor.name] for tensor in self._engine.inputs)

    def _expected_shapes(self) -> list[Shapes]:
        """The shapes to be made ready: the first batch sizes, with frames of the size that the profile is tuned for."""
        batch, limits = self.manifest.batch, self._engine.limits
        sizes = range(batch.minimum, batch.maximum + 1)[:_WARMED_UP]
        kind = self.manifest.input_kind
        if kind != "frame":
            return [self._shapes({kind: (size, *limits[kind][1][1:])}) for size in sizes]
        return [self._shapes({"frame": limits["frame"][1], "affines": (size, 2, 3)}) for size in sizes]

    def _check_profile(self) -> None:
        """Check that the plan's own profile takes the batches that the manifest promises."""
        name = "affines" if self.manifest.input_kind == "frame" else self.manifest.input_kind
        smallest, _, largest = (shape[0] for shape in self._engine.limits[name])
        batch = self.manifest.batch
        if smallest > batch.minimum or largest < batch.maximum:
            raise ModelFileError(
                f"{self._path}: its profile takes {smallest} to {largest} people, its manifest says {batch}",
                cure=_REEXPORT,
            )

    def _check_frame_size(self, shape: tuple[int, ...]) -> None:
        smallest, _, largest = self._engine.limits["frame"]
        if any(not low <= side <= high for low, side, high in zip(smallest, shape, largest, strict=True)):
            raise InputError(
                f"{self._path}: a frame of {shape[1]}x{shape[0]} pixels, and the plan takes "
                f"{smallest[1]}x{smallest[0]} to {largest[1]}x{largest[0]}",
                cure="Resize the frame, or use an artefact of --input crops.",
            )


def _frame_of(frame_bgr: NDArray[np.uint8] | OnGpu, *, fourth_channel: bool = False) -> NDArray[np.uint8] | GpuArray:
    """The frame (Hf, Wf, 3), or (Hf, Wf, 4) where that may be, checked, wherever it lies."""
    there = on_gpu(frame_bgr)
    if there is not None:
        four = fourth_channel and there.__cuda_array_interface__["shape"][-1:] == (4,)
        return gpu_array(there, what="frame", shape=(None, None, 4 if four else 3))
    frame = cast("NDArray[np.uint8]", frame_bgr)
    check_frame(frame, fourth_channel=fourth_channel)
    return frame
