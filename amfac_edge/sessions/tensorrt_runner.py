"""An engine's tensors in memory, and one inference: copies in, the engine, copies out, in one stream.

All memory is allocated once, for the largest shapes of the profile. Where GPU and CPU share their memory (a Jetson),
the tensors lie in mapped memory: the CPU writes and reads them in place, and nothing is copied.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from amfac_edge.errors import MachineError, ModelFileError
from amfac_edge.sessions.ports import Port
from amfac_edge.sessions.session import EngineTimes

if TYPE_CHECKING:
    from contextlib import ExitStack

    from numpy.typing import NDArray

    from amfac_edge.artefact import TensorSpec
    from amfac_edge.sessions.cuda import CudaDevice, CudaGraph, CudaStream, CudaTimer
    from amfac_edge.sessions.gpu_arrays import GpuArray
    from amfac_edge.sessions.tensorrt_engine import LoadedEngine, Shapes

__all__ = ["EngineRunner"]

# Contexts with their graphs that are kept, one for each set of shapes; the one that was used least recently goes.
_MOST_PREPARED = 32


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What runs one set of shapes."""

    context: Any
    graph: CudaGraph | None
    outputs: tuple[tuple[Port, int], ...]


class EngineRunner:
    """One engine with its memory.

    Args:
        engine: that was loaded.
        device: whose context is current, here and in every call.
        stream: that everything is enqueued in.
        people: the largest batch.
        resources: what is allocated is freed by it, what runs it first.

    Raises:
        MachineError: memory is used up.
    """

    def __init__(
        self, engine: LoadedEngine, device: CudaDevice, stream: CudaStream, people: int, resources: ExitStack
    ) -> None:
        self._engine, self._device, self._stream = engine, device, stream
        self._resources = resources
        self.graphs = device.has_graphs and not engine.captures_graphs
        self.notes: list[str] = []
        self._prepared: OrderedDict[Shapes, _Prepared] = OrderedDict()
        self._inputs = {tensor.name: self._port(tensor, engine.limits[tensor.name][2]) for tensor in engine.inputs}
        self._outputs = {
            tensor.name: self._port(tensor, tuple(side if isinstance(side, int) else people for side in tensor.shape))
            for tensor in engine.outputs
        }
        self._timer: CudaTimer | None = None
        self._timed: tuple[_Prepared, CudaGraph | None] | None = None
        resources.callback(self._drop_all)

    def write(self, name: str, values: NDArray[Any] | GpuArray, rows: int | None = None) -> None:
        """Hand in an input (M, ...) of its dtype and, but for the first axis, its shape; see `Port.send`."""
        self._inputs[name].send(self._device, self._stream, values, rows)

    def input_address(self, name: str) -> int:
        """Where the engine reads an input, for a kernel that writes it."""
        return self._inputs[name].gpu.address

    def run(self, shapes: Shapes) -> None:
        """Run the engine on what was handed in; returns when the outputs can be read."""
        prepared = self._prepared.get(shapes)
        if prepared is None:
            prepared = self._prepare(shapes)  # which ran it
        else:
            self._prepared.move_to_end(shapes)
            if prepared.graph is not None:
                prepared.graph.launch()
            else:
                self._run_plainly(prepared)
        self._stream.wait()

    def timed(self, shapes: Shapes) -> EngineTimes:
        """Run the engine on what was handed in last, and tell its parts by the GPU's clock.

        The engine alone is in the graph here, so that the copies beside it can be told from it.
        """
        self._timer = timer = self._timer or self._stream.timer(4)
        prepared = self._prepared[shapes]
        if self._timed is None or self._timed[0] is not prepared:
            self._drop_timed()
            self._timed = (prepared, self._engine_graph(prepared))
        graph = self._timed[1]
        timer.mark(0)
        for port, shape in zip(self._inputs.values(), shapes, strict=True):
            if not port.is_mapped:
                self._stream.copy(port.gpu, port.host, math.prod(shape) * port.dtype.itemsize)
        timer.mark(1)
        started = perf_counter()
        if graph is not None:
            graph.launch()
        else:
            self._engine.enqueue(prepared.context, self._stream.handle)
        enqueued = perf_counter()
        timer.mark(2)
        self._copy_out(prepared)
        timer.mark(3)
        self._stream.wait()
        h2d, compute, d2h = (timer.milliseconds(number, number + 1) for number in range(3))
        return EngineTimes(h2d, compute, d2h, (enqueued - started) * 1e3)

    def read(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """An output of the last run, keypoints (N, K, 2) or scores (N, K): a view that the next run overwrites."""
        return self._outputs[name].view(shape)

    def warm_up(self, shapes: Shapes) -> None:
        """Make what runs these shapes, so that the first frame costs no more than the next one."""
        if shapes not in self._prepared:
            self._prepare(shapes)
            self._stream.wait()

    def _port(self, tensor: TensorSpec, largest: tuple[int, ...]) -> Port:
        port = Port.allocated(self._device, tensor.dtype, math.prod(largest))
        self._resources.callback(port.free, self._device)
        return port

    def _prepare(self, shapes: Shapes) -> _Prepared:
        """Make the context for `shapes`, run it once, and capture that run if graphs can be."""
        while len(self._prepared) >= _MOST_PREPARED:
            self._drop(self._prepared.popitem(last=False)[1])
        ports = {**self._inputs, **self._outputs}
        context = self._engine.new_context(shapes, {name: port.gpu.address for name, port in ports.items()})
        prepared = _Prepared(context, None, tuple(self._sized_outputs(context)))
        # Some of TensorRT's work is done at the first run only, and must not become part of a graph.
        self._run_plainly(prepared)
        if self.graphs:
            self._stream.wait()  # what goes wrong there must not be taken for a fault of the capture
            prepared = _Prepared(context, self._captured(prepared), prepared.outputs)
        self._prepared[shapes] = prepared
        return prepared

    def _sized_outputs(self, context: Any) -> list[tuple[Port, int]]:  # noqa: ANN401 - TensorRT's own
        """Each output with the bytes that the engine will write to it."""
        sized = []
        for name, port in self._outputs.items():
            shape = tuple(int(side) for side in context.get_tensor_shape(name))
            size = math.prod(shape) * port.dtype.itemsize
            if min(shape) < 1 or size > port.gpu.size:
                raise ModelFileError(
                    f"the engine gives {name} the shape {shape}, more than its manifest lets expect",
                    cure="Export the model again with amfac-export.",
                )
            sized.append((port, size))
        return sized

    def _captured(self, prepared: _Prepared) -> CudaGraph | None:
        try:
            return self._stream.capture(lambda: self._enqueue(prepared))
        except (MachineError, ModelFileError) as error:
            if self._device.lost:
                raise
            self.graphs = False
            self.notes.append(f"no CUDA graphs, which would save time: {error.problem}")
            return None

    def _enqueue(self, prepared: _Prepared) -> None:
        self._engine.enqueue(prepared.context, self._stream.handle)
        self._copy_out(prepared)

    def _copy_out(self, prepared: _Prepared) -> None:
        for port, size in prepared.outputs:
            if not port.is_mapped:
                self._stream.copy(port.host, port.gpu, size)

    def _run_plainly(self, prepared: _Prepared) -> None:
        try:
            self._enqueue(prepared)
        except (MachineError, ModelFileError):
            self._stream.wait()  # if the GPU failed, CUDA says so here, which is nearer to the cause
            raise

    def _engine_graph(self, prepared: _Prepared) -> CudaGraph | None:
        """The engine alone as a graph; None where there are none."""
        if not self.graphs:
            return None
        return self._stream.capture(lambda: self._engine.enqueue(prepared.context, self._stream.handle))

    def _drop_all(self) -> None:
        self._drop_timed()
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        while self._prepared:
            self._drop(self._prepared.popitem()[1])

    def _drop_timed(self) -> None:
        if self._timed is not None and self._timed[1] is not None:
            self._timed[1].close()
        self._timed = None

    def _drop(self, prepared: _Prepared) -> None:
        if self._timed is not None and self._timed[0] is prepared:
            self._drop_timed()
        if prepared.graph is not None:
            prepared.graph.close()
