"""Makes onnxruntime sessions from a bundle's verified bytes, with settings that were measured."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import Component, Stage
from fewstep.engine.reading.weight_inputs import weight_inputs
from fewstep.errors import BackendError, BundleError, InputError, MissingDependencyError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# Threads that wait for work spin this long, then sleep. Measured for toons16-32 on two cores, one image of two steps:
# 4.7 ms without spinning, 3.7 ms at 20 us, 3.6 ms at 1 ms; beside another busy process 5 to 7 ms and 20 to 26 ms.
SPIN_US = "20"
TYPES = {
    "float32": "tensor(float)", "float16": "tensor(float16)", "float64": "tensor(double)", "int64": "tensor(int64)",
    "int32": "tensor(int32)", "bool": "tensor(bool)",
}  # fmt: skip
ITEMS: Mapping[int, type[np.generic]] = {1: np.float32, 7: np.int64, 10: np.float16}  # of TensorProto.DataType
# Bytes of a component's weights from which it reads them, on a CPU, where they lie in their file. onnxruntime folds the
# Cast after a stored weight into a float32 copy, twice the file's size, and holds the stored ones meanwhile; then the
# Casts are done in each run, one weight at a time.
KEPT = 1 << 31
Values = Mapping[str, NDArray[Any]]


class Session:
    """onnxruntime's, with the weights that it is handed at each run. Safe to use from several threads."""

    def __init__(self, session: ort.InferenceSession, weights: Mapping[str, ort.OrtValue]) -> None:
        self._session, self._weights = session, weights

    def io_binding(self) -> ort.IOBinding:
        """With the weights bound."""
        binding = self._session.io_binding()
        for name, value in self._weights.items():
            binding.bind_ortvalue_input(name, value)
        return binding

    def run_with_iobinding(self, binding: ort.IOBinding) -> None:
        self._session.run_with_iobinding(binding)

    def run(self, names: Sequence[str] | None, values: Values) -> list[NDArray[Any]]:
        """Outputs of those names, or all."""
        made: list[NDArray[Any]] = self._session.run(names, {**values, **self._weights})
        return made


def open_session(bundle: Bundle, component: str, device: str, threads: int, stage: str | None = None) -> Session:
    """A session of one component, or of one stage of it, on "cpu" or "cuda"; nothing else is ever used in its place.

    Raises MissingDependencyError if this onnxruntime cannot use the device, BundleError if it refuses the graph,
    BackendError if the device does not start.
    """
    provider = PROVIDERS[device]
    if provider not in ort.get_available_providers():
        raise MissingDependencyError(
            f"device {device} needs onnxruntime's {provider}, this onnxruntime {ort.__version__} has "
            f"{', '.join(ort.get_available_providers())}; pip install 'fewstep[cuda]' or choose device cpu"
        )
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_US)
    whole = bundle.manifest.components[component]
    part = whole.stages[stage] if stage else whole
    graph, files = bundle.session_inputs(component, stage)
    weights: dict[str, ort.OrtValue] = {}
    if device == "cpu" and sum(len(data) for _, data in files) > KEPT:
        graph, weights = handed_weights(graph, part.graph, dict(files))
    elif files:
        options.add_external_initializers_from_files_in_memory(
            [name for name, _ in files], [data for _, data in files], [len(data) for _, data in files]
        )
    try:
        session = ort.InferenceSession(graph, options, providers=[provider], enable_fallback=0)
    except Exception as error:  # onnxruntime's errors have no common base
        name = f"component {component}" + (f", stage {stage}" if stage else "")
        message = f"onnxruntime refuses {name}: {first_line(error)}"
        raise (BundleError if device == "cpu" else BackendError)(message) from error
    if provider not in session.get_providers():
        raise BackendError(f"device {device} did not start, onnxruntime offers {', '.join(session.get_providers())}")
    _check_signature(part, session, weights.keys())
    return Session(session, weights)


def handed_weights(graph: bytes, name: str, files: Mapping[str, Any]) -> tuple[bytes, dict[str, ort.OrtValue]]:
    """(the graph with its weights as inputs, their values in the files' own bytes). files: bytes or pages by name."""
    try:
        graph, places = weight_inputs(graph, name)
    except InputError as error:
        raise BundleError(str(error)) from error
    values = {}
    for place in places:
        kind = ITEMS.get(place.dtype)
        if kind is None:
            raise BundleError(f"{name}: {place.name}: expected a weight of float32 or float16, got type {place.dtype}")
        count = place.length // np.dtype(kind).itemsize
        data = np.frombuffer(files[place.location], kind, count, place.offset).reshape(place.shape)
        values[place.name] = ort.OrtValue.ortvalue_from_numpy(data)
    return graph, values


def _check_signature(declared: Component | Stage, session: ort.InferenceSession, weights: Collection[str]) -> None:
    """Refuse a graph whose inputs or outputs are not the manifest's: buffers are bound by the manifest's word."""
    for kind, tensors, nodes in (
        ("input", declared.inputs, [node for node in session.get_inputs() if node.name not in weights]),
        ("output", declared.outputs, session.get_outputs()),
    ):
        found = {node.name: (node.type, len(node.shape), node.shape[1:]) for node in nodes}
        expected = {t.name: (TYPES.get(t.dtype), len(t.shape), list(t.shape[1:])) for t in tensors}
        if found != expected:
            raise BundleError(f"{declared.graph}: expected {kind}s {expected} as bundle.json says, got {found}")


def first_line(error: BaseException) -> str:
    """An onnxruntime message without its further lines, for one line on a terminal."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
