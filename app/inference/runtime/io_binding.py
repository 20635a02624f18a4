"""Run a graph fast on a GPU: in a few fixed batch sizes, in buffers that are allocated once.

A batch is padded to the next of these sizes. So the device gets no shape that it has not had at the start, and
allocates nothing while it answers requests. With CUDA graphs there is one recording for each size. All of it also runs
on a CPU, where it saves nothing but is tested.
"""

import queue
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[np.generic]

DTYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64}


def batch_sizes(most: int) -> list[int]:
    """Return 1, 2, 4, 8 and so on below `most`, and `most` itself: at most half of a padded batch is padding."""
    sizes = [1 << power for power in range(most.bit_length()) if 1 << power < most]
    return [*sizes, most]


class BoundGraph:
    """A session with its own buffers for each slot and batch size; safe to call from as many threads as slots.

    Parameters
    ----------
    memory
        Where the buffers are: `cuda` or `cpu`.
    sizes
        Batch sizes, ascending; larger batches cannot be run.
    slots
        How many runs there may be at the same time.
    record
        Let CUDA record each size: needs a session that was made for it, and one slot.

    Raises
    ------
    ValueError
        If a tensor of the graph has an unknown type, or a free dimension besides the batch.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        memory: str,
        sizes: Sequence[int],
        slots: int,
        record: bool = False,
    ) -> None:
        self._sizes = sizes
        self._free: queue.SimpleQueue[list[_Buffers]] = queue.SimpleQueue()
        for _ in range(slots):
            self._free.put([_Buffers(session, memory, size, record) for size in sizes])

    def run(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Run inputs (B,…) by name to the graph's outputs (B,…), in its order; raises ValueError."""
        count = len(next(iter(inputs.values())))
        position = next((index for index, size in enumerate(self._sizes) if count <= size), None)
        if position is None:
            raise ValueError(f"a batch of {count}; the largest is {self._sizes[-1]}")
        buffers = self._free.get()
        try:
            return buffers[position].run(inputs, count)
        finally:
            self._free.put(buffers)


class _Buffers:
    """The buffers of one slot for one batch size."""

    def __init__(self, session: onnxruntime.InferenceSession, memory: str, size: int, record: bool) -> None:
        self._session = session
        self._host: dict[str, Array] = {}
        self._inputs: dict[str, onnxruntime.OrtValue] = {}
        self._outputs: list[onnxruntime.OrtValue] = []
        self._binding = session.io_binding()
        for node in session.get_inputs():
            shape, dtype = _shape(node, size)
            self._host[node.name] = np.zeros(shape, dtype)
            value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, memory, 0)
            self._inputs[node.name] = value
            self._binding.bind_ortvalue_input(node.name, value)
        for node in session.get_outputs():
            shape, dtype = _shape(node, size)
            value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, memory, 0)
            self._outputs.append(value)
            self._binding.bind_ortvalue_output(node.name, value)
        self._options = onnxruntime.RunOptions()
        if record:
            self._options.add_run_config_entry("gpu_graph_id", str(size))

    def run(self, inputs: Mapping[str, Array], count: int) -> list[Array]:
        """Copy in, padded with zeros; run; copy the first `count` of each output out."""
        for name, rows in inputs.items():
            host = self._host[name]
            host[:count] = rows
            host[count:] = 0
            self._inputs[name].update_inplace(host)
        self._session.run_with_iobinding(self._binding, self._options)
        # Copied, because on a CPU the arrays are the buffers themselves.
        return [np.array(value.numpy()[:count]) for value in self._outputs]


def _shape(node: onnxruntime.NodeArg, size: int) -> tuple[tuple[int, ...], type]:
    """Return the shape of an input or output for this batch size, and its type; raises ValueError."""
    tail = tuple(node.shape[1:])
    if node.type not in DTYPES or not all(isinstance(length, int) for length in tail):
        raise ValueError(f"the tensor {node.name!r} is {node.type} {node.shape}; only its batch may be free")
    return (size, *tail), DTYPES[node.type]
