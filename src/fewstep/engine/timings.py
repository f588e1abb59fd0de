"""Where the time of a request went."""

from dataclasses import dataclass
from itertools import zip_longest


@dataclass
class Timings:
    """Milliseconds of wall time a stage.

    Images made side by side share it: a stage's time is its sum over images divided by the number of workers. `denoise`
    has an entry a step, of noise, network and update. `prompt` is words, labels and all of the network that does not
    depend on the state, for every step. `load` is the backend's, once a pipeline; `encode` is 0 until the pictures are
    saved and counts encoding and writing.
    """

    load: float = 0.0
    prompt: float = 0.0
    denoise: tuple[float, ...] = ()
    decode: float = 0.0
    encode: float = 0.0
    total: float = 0.0

    def __add__(self, other: "Timings") -> "Timings":
        """Of one run after the other; `load` is the first one's."""
        denoise = tuple(a + b for a, b in zip_longest(self.denoise, other.denoise, fillvalue=0.0))
        sums = (getattr(self, name) + getattr(other, name) for name in ("prompt", "decode", "encode", "total"))
        prompt, decode, encode, total = sums
        return Timings(self.load or other.load, prompt, denoise, decode, encode, total)

    def as_dict(self) -> dict[str, float | list[float]]:
        """For JSON, to the microsecond."""
        stages = {"load": self.load, "prompt": self.prompt, "decode": self.decode, "encode": self.encode}
        return {
            **{name: round(value, 3) for name, value in stages.items()},
            "denoise": [round(step, 3) for step in self.denoise],
            "total": round(self.total, 3),
        }
