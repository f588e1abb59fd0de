"""Stages against the whole network, in onnxruntime: the same numbers, for several times and images at once."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.bundle_manifest import MODULATION, PROMPT, STEP, TABLES
from fewstep.engine.telemetry import refuse_telemetry

if TYPE_CHECKING:
    import onnxruntime as ort

Values = Mapping[str, NDArray[Any]]
Files = Mapping[str, bytes]


def staged_error(whole: bytes, stages: Files, weights: Files, given: Values, time: str, times: NDArray[Any]) -> float:
    """The largest difference over the largest output.

    stages: graphs by stage; weights: by file name; given: all inputs but the time, a row an image; times: a row a step.
    """
    sessions = {name: open_graph(graph, weights) for name, graph in stages.items()}
    found, expected = (
        run_stages(sessions, given, time, times),
        run_whole(open_graph(whole, weights), given, time, times),
    )
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


def open_graph(graph: bytes, weights: Files) -> "ort.InferenceSession":
    refuse_telemetry()
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if weights:
        sizes = [len(data) for data in weights.values()]
        options.add_external_initializers_from_files_in_memory(list(weights), list(weights.values()), sizes)
    return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def run_stages(
    sessions: "Mapping[str, ort.InferenceSession]", given: Values, time: str, times: NDArray[Any]
) -> NDArray[Any]:
    """The output of each step and image (N, B, ...): tables once for all times, and one batch for all steps."""
    B, N = len(next(iter(given.values()))), len(times)

    def made(stage: str, values: Values) -> Values:
        return _run(sessions[stage], values) if stage in sessions else {}

    tables = {time: times, **made(TABLES, {time: times})}
    prompt = {**given, **made(PROMPT, given)}
    of_steps = {name: np.repeat(value, B, axis=0) for name, value in tables.items()}  # rows: step, then image
    if MODULATION in sessions:
        of_prompt = {name: np.concatenate([value] * N) for name, value in prompt.items()}
        of_steps |= made(MODULATION, {**of_prompt, **of_steps})
    rows = [{name: value[i * B : (i + 1) * B] for name, value in of_steps.items()} for i in range(N)]
    return np.stack([_only(_run(sessions[STEP], {**prompt, **row})) for row in rows])


def run_whole(session: "ort.InferenceSession", given: Values, time: str, times: NDArray[Any]) -> NDArray[Any]:
    B = len(next(iter(given.values())))
    return np.stack([_only(_run(session, {**given, time: np.repeat(row[None], B, axis=0)})) for row in times])


def _run(session: "ort.InferenceSession", values: Values) -> dict[str, NDArray[Any]]:
    wanted = {node.name: values[node.name] for node in session.get_inputs()}
    return dict(zip([node.name for node in session.get_outputs()], session.run(None, wanted), strict=True))


def _only(outputs: Values) -> NDArray[Any]:
    (output,) = outputs.values()
    return output
