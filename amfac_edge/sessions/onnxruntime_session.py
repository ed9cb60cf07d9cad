"""ONNX Runtime on the CPU or an NVIDIA card. The only module here that sees onnxruntime; nothing of it gets out."""

from __future__ import annotations

import contextlib
import importlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amfac_edge.artefact import IMAGES_INPUT, Manifest, TensorSpec, manifest_from_metadata, manifest_path, read_manifest
from amfac_edge.children import ChildFailure, call_in_child
from amfac_edge.errors import InputError, MachineError, MissingExtraError, ModelFileError, typed
from amfac_edge.sessions.ahead import Ahead, Ticket
from amfac_edge.sessions.arguments import check_affines, check_crops, check_frame, check_images
from amfac_edge.sessions.contract import check_contract, check_input_kind, facts_of, results_of
from amfac_edge.sessions.cores import usable_cores
from amfac_edge.sessions.session import SessionSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from numpy.typing import NDArray

    from amfac_edge.artefact import DetectorFacts

__all__ = ["OnnxRuntimeSession", "metadata_of_opened"]

_PROVIDER = "CPUExecutionProvider"
# With the provider for what it can't run: ONNX Runtime falls back to that one silently, so it is looked at afterwards.
_PROVIDERS = {"cpu": [_PROVIDER], "cuda": ["CUDAExecutionProvider", _PROVIDER]}
_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}
_ERRORS_ONLY = 3
_MOST_THREADS = 1024
# 32 times as many threads as cores took ten times as long for a frame; a few too many are somebody's own affair.
_OVERCOMMITTED = 4
_CHILD_SECONDS = 60.0
_CHILD_BYTES = 2 << 30
_REEXPORT = "Copy the artefact once more, or export the model again with amfac-export."


class OnnxRuntimeSession:
    """A `PoseSession` or `DetectorSession` over an ONNX artefact. `run` may be called from several threads at once.

    Args:
        path: of the ONNX file.
        threads: see `open_session`.
        spinning: see `open_session`.
        provider: see `open_session`.
        detector: whether a person detector is wanted, rather than a pose network.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int | None = None,
        spinning: bool = True,
        provider: str = "cpu",
        detector: bool = False,
    ) -> None:
        if threads is not None and not 1 <= threads <= _MOST_THREADS:
            raise InputError(
                f"threads={threads} is not within 1 and {_MOST_THREADS}", cure="Leave it out for this machine's cores."
            )
        cores = usable_cores()
        if threads is not None and threads > _OVERCOMMITTED * cores:
            raise InputError(
                f"threads={threads} would wait for each other on {cores} {'core' if cores == 1 else 'cores'}",
                cure="Leave it out for this machine's cores.",
            )
        self._path, self._ahead = path, Ahead()
        self.manifest = read_manifest(path) if manifest_path(path).exists() else _manifest_inside(path)
        threads = threads or cores
        self._engine: Any = _opened(path, threads, spinning=spinning, provider=provider)
        inputs, outputs = _tensors(self._engine.get_inputs()), _tensors(self._engine.get_outputs())
        check_contract(path, self.manifest, inputs, outputs, detector=detector)
        self._results = [name for name, _ in results_of(self.manifest, detector=detector)]
        self.settings = SessionSettings(
            f"onnxruntime {_onnxruntime().__version__}", _PROVIDERS[provider][0], threads, spinning
        )

    @property
    def facts(self) -> DetectorFacts:
        """See `DetectorSession.facts`."""
        return facts_of(self.manifest)

    def run_images(self, images: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `DetectorSession.run_images`."""
        check_images(images, self.facts)
        return self._in_batches(IMAGES_INPUT, images, {})

    def run(self, crops: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `PoseSession.run`."""
        crop = self.manifest.recipe.crop
        check_crops(crops, crop.height, crop.width)
        check_input_kind(self._path, self.manifest, "crops")
        return self._in_batches("crops", crops, {})

    def run_frame(
        self, frame_bgr: NDArray[np.uint8], affines: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See `FrameSession.run_frame`."""
        check_frame(frame_bgr)
        check_affines(affines)
        check_input_kind(self._path, self.manifest, "frame")
        return self._in_batches("affines", affines, {"frame": frame_bgr})

    def submit(self, crops: NDArray[np.uint8]) -> Ticket[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """`run` behind the caller: two calls may be under way, a third one waits for the first.

        Args:
            crops: (N, H, W, 3) uint8 BGR, C-contiguous; they must stay as they are until the result is there.

        Returns:
            A ticket whose `result()` gives, or raises, what `run` would.

        Raises:
            InputError: the session is closed.
        """
        return self._ahead.submit(lambda _: lambda: self.run(crops))

    def close(self) -> None:
        """See `PoseSession.close`."""
        self._ahead.close()
        self._engine = None

    def __enter__(self) -> OnnxRuntimeSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def _in_batches(
        self, name: str, people: NDArray[Any], others: Mapping[str, NDArray[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the input `name` (N, ...) in batches that the artefact takes, each with the `others` beside it."""
        # A name of its own: another thread may close the session while this one runs.
        engine, batch = self._engine, self.manifest.batch
        if engine is None:
            raise InputError(f"{self._path}: this session is closed", cure="Open the file again.")
        if batch.minimum <= len(people) <= batch.maximum:
            return self._call(engine, {name: people, **others})
        parts = [
            self._call(engine, {name: _padded(people[start : start + batch.maximum], batch.minimum), **others})
            for start in range(0, len(people), batch.maximum)
        ]
        places, scores = (np.concatenate(arrays)[: len(people)] for arrays in zip(*parts, strict=True))
        return places, scores

    def _call(self, engine: Any, feeds: dict[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # noqa: ANN401
        try:
            places, scores = engine.run(self._results, feeds)
        except _engine_errors() as error:
            raise ModelFileError(
                f"{self._path}: onnxruntime failed while running it: {_first_line(error)}", cure=_REEXPORT
            ) from error
        return places, scores


def metadata_of_opened(path: str) -> dict[str, str]:
    """Open an ONNX file with one thread and return its metadata: for a child process, since the parser is native code.

    Raises:
        ModelFileError: onnxruntime refuses the file.
    """
    engine = _opened(Path(path), 1, spinning=False)
    return dict(engine.get_modelmeta().custom_metadata_map)


def _manifest_inside(path: Path) -> Manifest:
    """The manifest from the metadata of a file that has lost the one beside it, and may be any file at all."""
    _onnxruntime()
    function = f"{__name__}:{metadata_of_opened.__name__}"
    memory = _CHILD_BYTES + 4 * path.stat().st_size
    try:
        metadata = call_in_child(function, timeout_s=_CHILD_SECONDS, memory_bytes=memory, path=str(path))
    except ChildFailure as failure:
        raise ModelFileError(
            f"{path}: not a usable ONNX file: reading it in a process of its own failed: {failure.reason}",
            cure=_REEXPORT,
        ) from failure
    manifest = manifest_from_metadata(metadata, where=str(path))
    if manifest is None:
        raise ModelFileError(
            f"{path}: not an artefact of amfac-export: no {manifest_path(path).name} beside it, no metadata inside",
            cure=f"Run amfac-export {typed(path)} --target cpu first; it takes any SimCC model, RTMDet and YOLOX.",
        )
    return manifest


def _opened(path: Path, threads: int, *, spinning: bool, provider: str = "cpu") -> Any:  # noqa: ANN401 - onnxruntime's
    onnxruntime = _onnxruntime()
    wanted = _PROVIDERS[provider]
    if wanted[0] not in onnxruntime.get_available_providers():
        raise MachineError(
            f"{path}: this onnxruntime {onnxruntime.__version__} is not for NVIDIA cards: it has no {wanted[0]}",
            cure='pip uninstall -y onnxruntime && pip install "amfac-edge[cuda]"',
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    # Between two calls the cores belong to whoever crops, decodes and draws: threads spin within a call only. On two
    # cores that makes the next crop a quarter faster and costs the network nothing that could be measured.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    said = "" if provider == "cpu" else _load_cuda(onnxruntime)
    try:
        engine = onnxruntime.InferenceSession(str(path), options, providers=wanted)
    except _engine_errors() as error:
        raise ModelFileError(f"{path}: onnxruntime can't load it: {_first_line(error)}", cure=_REEXPORT) from error
    if engine.get_providers() != wanted:
        if provider == "cpu":
            raise ModelFileError(f"{path}: onnxruntime chose {engine.get_providers()}, not {wanted}", cure=_REEXPORT)
        raise MachineError(
            f"{path}: onnxruntime can't use the NVIDIA card here, and would have run on {engine.get_providers()[0]}"
            f"{': ' + said if said else ''}",
            cure='pip install "onnxruntime-gpu[cuda,cudnn]" brings the CUDA and cuDNN that it wants (not on a Jetson); '
            "amfac-doctor says what is here.",
        )
    return engine


def _load_cuda(onnxruntime: Any) -> str:  # noqa: ANN401 - a module
    """Load CUDA and cuDNN out of pip's packages, which no path leads to; what couldn't be loaded, if anything."""
    load = getattr(onnxruntime, "preload_dlls", None)  # from 1.21 on
    if load is None:
        return ""
    with contextlib.redirect_stdout(io.StringIO()) as told:  # it prints, and our output may be JSON
        load()
    return told.getvalue().strip().partition("\n")[0][:300]


def _onnxruntime() -> Any:  # noqa: ANN401 - a module that may be absent
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError.of("onnxruntime", "cpu", use="running an .onnx file") from error
    return onnxruntime


def _engine_errors() -> tuple[type[Exception], ...]:
    """Whatever onnxruntime raises: its exceptions share no base class, and some failures come as plain ones."""
    native = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    own = (kind for kind in vars(native).values() if isinstance(kind, type) and issubclass(kind, Exception))
    return (*own, RuntimeError, ValueError)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__


def _tensors(arguments: list[Any]) -> list[TensorSpec]:
    """The engine's description of its inputs or outputs in ours; an axis without a size and a name is "?"."""
    return [
        TensorSpec(
            argument.name,
            _DTYPES.get(argument.type, str(argument.type)),
            tuple(axis if isinstance(axis, int) else axis or "?" for axis in argument.shape),
        )
        for argument in arguments
    ]


def _padded(people: NDArray[Any], size: int) -> NDArray[Any]:
    if len(people) >= size:
        return people
    padded = np.zeros((size, *people.shape[1:]), people.dtype)
    padded[: len(people)] = people
    return padded
