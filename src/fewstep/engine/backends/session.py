"""Makes onnxruntime sessions from a bundle's verified bytes, with settings that were measured."""

import onnxruntime as ort

from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import Component, Stage
from fewstep.errors import BackendError, BundleError, MissingDependencyError

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
# Threads that wait for work spin this long, then sleep. Measured for toons16-32 on two cores, one image of two steps:
# 4.7 ms without spinning, 3.7 ms at 20 us, 3.6 ms at 1 ms; beside another busy process 5 to 7 ms and 20 to 26 ms.
SPIN_US = "20"
TYPES = {
    "float32": "tensor(float)", "float16": "tensor(float16)", "float64": "tensor(double)", "int64": "tensor(int64)",
    "int32": "tensor(int32)", "bool": "tensor(bool)",
}  # fmt: skip


def open_session(
    bundle: Bundle, component: str, device: str, threads: int, stage: str | None = None
) -> ort.InferenceSession:
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
    graph, weights = bundle.session_inputs(component, stage)
    if weights:
        options.add_external_initializers_from_files_in_memory(
            [name for name, _ in weights], [data for _, data in weights], [len(data) for _, data in weights]
        )
    try:
        session = ort.InferenceSession(graph, options, providers=[provider], enable_fallback=0)
    except Exception as error:  # onnxruntime's errors have no common base
        name = f"component {component}" + (f", stage {stage}" if stage else "")
        message = f"onnxruntime refuses {name}: {first_line(error)}"
        raise (BundleError if device == "cpu" else BackendError)(message) from error
    if provider not in session.get_providers():
        raise BackendError(f"device {device} did not start, onnxruntime offers {', '.join(session.get_providers())}")
    whole = bundle.manifest.components[component]
    _check_signature(whole.stages[stage] if stage else whole, session)
    return session


def _check_signature(declared: Component | Stage, session: ort.InferenceSession) -> None:
    """Refuse a graph whose inputs or outputs are not the manifest's: buffers are bound by the manifest's word."""
    for kind, tensors, nodes in (
        ("input", declared.inputs, session.get_inputs()),
        ("output", declared.outputs, session.get_outputs()),
    ):
        found = {node.name: (node.type, len(node.shape), node.shape[1:]) for node in nodes}
        expected = {t.name: (TYPES.get(t.dtype), len(t.shape), list(t.shape[1:])) for t in tensors}
        if found != expected:
            raise BundleError(f"{declared.graph}: expected {kind}s {expected} as bundle.json says, got {found}")


def first_line(error: BaseException) -> str:
    """An onnxruntime message without its further lines, for one line on a terminal."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
