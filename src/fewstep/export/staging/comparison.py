"""Stages against the whole network, in onnxruntime: the same numbers, for several times and images at once."""

from collections.abc import Mapping
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.bundle_manifest import MODULATION, PROMPT, STEP, TABLES
from fewstep.engine.telemetry import refuse_telemetry

Values = Mapping[str, NDArray[Any]]
Files = Mapping[str, bytes | mmap]  # of weights


def staged_error(
    whole: bytes, stages: Mapping[str, bytes], weights: Files, given: Values, time: str, times: NDArray[Any]
) -> float:
    """The largest difference over the largest output.

    stages: graphs by stage; weights: by file name; given: all inputs but the time, a row an image; times: a row a step.
    """
    found = run_stages(stages, weights, given, time, times)
    expected = run_whole(OpenGraph(whole, weights), given, time, times)
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))


class OpenGraph:
    """A session that reads its weights where they lie."""

    def __init__(self, graph: bytes, weights: Files) -> None:
        refuse_telemetry()
        import onnxruntime as ort

        from fewstep.engine.backends.session import Session, handed_weights

        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        graph, handed = handed_weights(graph, "graph", weights)
        session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._session = Session(session, handed)
        self._inputs = [node.name for node in session.get_inputs() if node.name not in handed]
        self._outputs = [node.name for node in session.get_outputs()]

    def run(self, values: Values) -> dict[str, NDArray[Any]]:
        """Its outputs; of the values it takes its inputs."""
        made = self._session.run(self._outputs, {name: values[name] for name in self._inputs})
        return dict(zip(self._outputs, made, strict=True))


def run_stages(
    stages: Mapping[str, bytes], weights: Files, given: Values, time: str, times: NDArray[Any]
) -> NDArray[Any]:
    """The output of each step and image (N, B, ...): tables once for all times, and one batch for all steps.

    One graph is open at a time.
    """
    B, N = len(next(iter(given.values()))), len(times)

    def made(stage: str, values: Values) -> Values:
        return OpenGraph(stages[stage], weights).run(values) if stage in stages else {}

    tables = {time: times, **made(TABLES, {time: times})}
    prompt = {**given, **made(PROMPT, given)}
    of_steps = {name: np.repeat(value, B, axis=0) for name, value in tables.items()}  # rows: step, then image
    if MODULATION in stages:
        of_prompt = {name: np.concatenate([value] * N) for name, value in prompt.items()}
        of_steps |= made(MODULATION, {**of_prompt, **of_steps})
    rows = [{name: value[i * B : (i + 1) * B] for name, value in of_steps.items()} for i in range(N)]
    step = OpenGraph(stages[STEP], weights)
    return np.stack([_only(step.run({**prompt, **row})) for row in rows])


def run_whole(graph: OpenGraph, given: Values, time: str, times: NDArray[Any]) -> NDArray[Any]:
    B = len(next(iter(given.values())))
    return np.stack([_only(graph.run({**given, time: np.repeat(row[None], B, axis=0)})) for row in times])


def _only(outputs: Values) -> NDArray[Any]:
    (output,) = outputs.values()
    return output
