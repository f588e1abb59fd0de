"""A denoiser as onnxruntime sessions: one for each of its stages, or the whole of it as the only step."""

from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from fewstep.engine.backends.session import first_line, open_session
from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import STEP, TABLES, Component, Stage
from fewstep.errors import BackendError

Values = dict[str, NDArray[Any]]


class Network:
    """1. `parts` is what each stage takes and makes; `step` is always among them.
    2. Sessions are safe to use from several threads.
    3. On "cuda" it is the whole network: what crosses from stage to stage lies on the host here.
    """

    def __init__(self, bundle: Bundle, component: str, device: str, threads: int) -> None:
        """Raises what open_session does."""
        spec: Component = bundle.manifest.components[component]
        self.state, self.time, *self.prompt = spec.inputs
        self.staged = bool(spec.stages) and device == "cpu"
        self.parts = spec.stages if self.staged else {STEP: Stage(spec.graph, spec.inputs, spec.outputs)}
        self._sessions = {
            name: open_session(bundle, component, device, threads, name if self.staged else None) for name in self.parts
        }

    def tables(self, tau: NDArray[np.float32]) -> Values:
        """The times and all that depends on them alone, a row for each of tau: (N,)."""
        values: Values = {self.time.name: tau}
        if TABLES in self.parts:
            names = [tensor.name for tensor in self.parts[TABLES].outputs]
            try:
                made = self._sessions[TABLES].run(names, {self.time.name: tau})
            except Exception as error:  # onnxruntime's errors have no common base
                raise failure(f"in the tables of {len(tau)} steps", error) from error
            values |= dict(zip(names, made, strict=True))
        return values

    def bind(self, part: str, values: Values) -> ort.IOBinding:
        """A stage bound to arrays of all it takes and makes, which must outlive the binding."""
        binding = self._sessions[part].io_binding()
        for tensor in self.parts[part].inputs:
            array = values[tensor.name]
            binding.bind_input(tensor.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for tensor in self.parts[part].outputs:
            array = values[tensor.name]
            binding.bind_output(tensor.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return binding

    def run(self, part: str, binding: ort.IOBinding, where: str) -> None:
        try:
            self._sessions[part].run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's errors have no common base
            raise failure(where, error) from error


def failure(where: str, error: Exception) -> BackendError:
    return BackendError(f"onnxruntime failed {where}: {first_line(error)}")
