"""What was aimed at, beside what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

NORMS, NORMS_SHARE = ("group_norm", "ada_norm", "sampler_step"), 0.85  # of the copy's bandwidth, beyond the cache
ATTENTION_SHARE = 0.95  # of the fastest library's speed
FAMILY, OVER_EAGER, OVER_COMPILED = "sd-turbo", 4.0, 1.3
OVER = {"eager": OVER_EAGER, "compiled": OVER_COMPILED, "captured": OVER_COMPILED, "onnxruntime": OVER_COMPILED}
HOST = 20.0  # us between requests
MEMORY = 1.05  # of what a plan announced
OF_EAGER = 2.0  # a plan's rms error
Fields = Mapping[str, Any]


class Goal(NamedTuple):
    what: str
    wanted: float
    got: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.got <= self.wanted if self.at_most else self.got >= self.wanted


def print_goals(rows: Sequence[Fields]) -> None:
    for goal in goals(rows):
        wanted = f"{'at most' if goal.at_most else 'at least'} {goal.wanted:.2f}"
        print(f"goal {'met' if goal.met else 'MISSED'}: {goal.what}: {goal.got:.2f}, wanted {wanted}")


def goals(rows: Sequence[Fields]) -> Iterator[Goal]:
    """Those that something was measured of."""
    for row in rows:
        if row["stage"] == "kernels" and row["kind"] == "row":
            yield from _of_kernel(row["measured"])
        if row["stage"] == "plans" and row["kind"] == "row":
            yield from _of_plan(row)
    yield from _of_requests([row for row in rows if row["stage"] == "pipelines" and row["kind"] == "row"])


def _of_kernel(row: Fields) -> Iterator[Goal]:
    times = {name: peer["seconds"]["p50"] for name, peer in row["peers"].items() if peer["seconds"]}
    if "fused" not in times:
        return
    name = f"{row['op']} {row['shape']} {row['dtype']}"
    if row["op"] in NORMS and row["beyond_cache"]:
        yield Goal(f"{name}, share of the roof", NORMS_SHARE, row["peers"]["fused"]["share"])
    libraries = [seconds for peer, seconds in times.items() if peer not in ("eager", "compiled", "fused")]
    if row["op"] == "attention" and libraries:
        yield Goal(f"{name}, speed over the fastest library's", ATTENTION_SHARE, min(libraries) / times["fused"])


def _of_requests(rows: Sequence[Fields]) -> Iterator[Goal]:
    for row in rows:
        measured = {name: peer for name, peer in row["peers"].items() if peer["total"]}
        if row["family"] != FAMILY or "captured" not in measured:
            continue
        ours = measured["captured"]
        for rival, wanted in (("eager", OVER_EAGER), ("compiled", OVER_COMPILED)):
            totals = [peer["total"]["p50"] for name, peer in measured.items() if name.startswith(rival)]
            if totals:
                yield Goal(f"{FAMILY}, times as fast as {rival}", wanted, min(totals) / ours["total"]["p50"])
        if ours["launches"]:
            yield Goal(f"{FAMILY}, requests a launch", 1.0, 1 / ours["launches"]["host"])


def _of_plan(row: Fields) -> Iterator[Goal]:
    if row["what"] == "requests" and "graph_launches" in row["counted"]:
        name = f"plan {row['plan']}, {row['steps']} steps"
        yield Goal(f"{name}, graphs a request", 1.0, row["counted"]["graph_launches"] / row["requests"])
        yield Goal(f"{name}, requests without a graph", 0.0, row["counted"]["fallbacks"], at_most=True)
        ours = row["peers"]["plan"]["p50"]
        for rival, seconds in row["peers"].items():
            if rival in OVER:
                yield Goal(f"{name}, times as fast as {rival}", OVER[rival], seconds["p50"] / ours)
    elif row["what"] == "host" and row["cost"] is not None:
        name = f"plan {row['plan']}, {row['steps']} steps"
        yield Goal(f"{name}, us of the host between requests", HOST, row["cost_back_to_back"] * 1e6, at_most=True)
        yield Goal(f"{name}, bytes that requests take", 0.0, row["grown"], at_most=True)
    elif row["what"] == "memory" and row["taken"] is not None:
        name = f"plan {row['plan']}, memory over what it announced"
        yield Goal(name, MEMORY, row["taken"] / row["announced"], at_most=True)
    elif row["what"] == "parity" and "errors" in row:
        rms = {peer: found["rms"] for peer, found in row["errors"].items()}
        yield Goal(f"plan {row['plan']}, rms error over eager's", OF_EAGER, rms["plan"] / rms["eager"], at_most=True)
    elif "clean" in row:
        yield Goal(f"{row['what']} of a plan's requests", 1.0, float(row["clean"]))
