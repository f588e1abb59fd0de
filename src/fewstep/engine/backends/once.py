"""A component that runs once an image: text to conditions, or a state to a picture."""

from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from fewstep.engine.backends.network import Values, failure
from fewstep.engine.backends.session import open_session
from fewstep.engine.bundle import Bundle
from fewstep.errors import BackendError

MAX_KEPT = 1 << 26  # bytes of conditions


class Once:
    """A component as an onnxruntime session, for batches of one. Safe to use from several threads."""

    def __init__(self, bundle: Bundle, component: str, device: str, threads: int) -> None:
        """Raises what open_session does."""
        self.name = component
        self.spec = bundle.manifest.components[component]
        self._session = open_session(bundle, component, device, threads)

    def run(self, values: Values) -> Values:
        """values: the inputs (1, ...) by name. Raises BackendError, also where it makes NaN or Inf."""
        names = [tensor.name for tensor in self.spec.outputs]
        try:
            made = dict(zip(names, self._session.run(names, values), strict=True))
        except Exception as error:  # onnxruntime's errors have no common base
            raise failure(f"in the component {self.name}", error) from error
        for name, array in made.items():
            if not np.isfinite(array).all():
                raise BackendError(f"the component {self.name} returned NaN or Inf in {name}; its weights are damaged")
        return made


class Kept:
    """Remembers what a component made of the inputs met last, up to MAX_KEPT bytes. Safe for several threads."""

    def __init__(self, component: Once) -> None:
        self._component = component
        self._made: OrderedDict[bytes, Values] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def run(self, values: Values) -> Values:
        """As Once.run; what it returns is not to be written."""
        key = b"".join(_bytes(values[name]) for name in sorted(values))
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        made = self._component.run(values)
        with self._lock:
            if key not in self._made:
                self._made[key] = made
                self._bytes += _size(made)
            while self._bytes > MAX_KEPT and len(self._made) > 1:
                self._bytes -= _size(self._made.popitem(last=False)[1])
        return made


def _bytes(array: NDArray[np.generic]) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def _size(values: Values) -> int:
    return sum(array.nbytes for array in values.values())
