"""How TensorRT-RTX runs an engine: it compiles kernels for this very GPU on first use, and keeps them in a cache.

The cache lies in `$XDG_CACHE_HOME/amfac-edge/rtx`, one file a plan, GPU architecture and driver. TensorRT-RTX checks
one against the machine before it uses it, and captures CUDA graphs itself where it is told to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amfac_edge.errors import OutputError
from amfac_edge.files import cache_folder, sha256_of
from amfac_edge.sessions.kept_files import keep_file, kept_file

if TYPE_CHECKING:
    from pathlib import Path

    from amfac_edge.sessions.cuda import CudaDevice

__all__ = ["RtxRuntime"]

_DIGEST_KEPT = 16


class RtxRuntime:
    """The runtime configuration of one engine, and its cache; `made` makes one."""

    def __init__(
        self,
        runtime_config: Any,  # noqa: ANN401 - the library's own
        runtime_cache: Any,  # noqa: ANN401 - likewise
        path: Path | None,
        *,
        captures_graphs: bool,
    ) -> None:
        self._config = runtime_config
        self._cache = runtime_cache
        self._path, self._known = path, b""
        self.captures_graphs = captures_graphs
        if path is not None and (kept := kept_file(path)) and runtime_cache.deserialize(kept):
            self._known = kept
        runtime_config.set_runtime_cache(runtime_cache)

    @classmethod
    def made(cls, trt: Any, engine: Any, content: bytes, device: CudaDevice) -> RtxRuntime | None:  # noqa: ANN401 - as above
        """One for an engine; None where the library makes none, and its log says why.

        Args:
            trt: the module.
            engine: of the plan.
            content: the plan.
            device: whose context is current.
        """
        runtime_config = engine.create_runtime_config()
        if runtime_config is None:
            return None
        cache = runtime_config.create_runtime_cache()
        if cache is None:
            return None
        if hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
            # By itself it computes with slower kernels while those for new shapes are compiled behind: the first frames
            # would be slow, and a process that is killed would keep nothing of them.
            eager = trt.DynamicShapesKernelSpecializationStrategy.EAGER
            runtime_config.dynamic_shapes_kernel_specialization_strategy = eager
        captures_graphs = hasattr(trt, "CudaGraphStrategy")
        if captures_graphs:
            runtime_config.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        return cls(runtime_config, cache, _cache_path(content, device), captures_graphs=captures_graphs)

    def new_context(self, engine: Any) -> Any:  # noqa: ANN401 - the library's own
        """A context, None where the library made none."""
        return engine.create_execution_context(self._config)

    def keep_cache(self) -> None:
        """Write the cache if anything was compiled; a place that can't be written to costs the next start some time."""
        content = bytes(self._cache.serialize() or b"")
        if self._path is not None and content and content != self._known and keep_file(self._path, content):
            self._known = content


def _cache_path(content: bytes, device: CudaDevice) -> Path | None:
    try:
        folder = cache_folder("rtx")
    except OutputError:
        return None
    gpu = f"sm_{device.compute_capability.replace('.', '')}.cuda-{device.driver_version}"
    return folder / f"{sha256_of(content)[:_DIGEST_KEPT]}.{gpu}.cache"
