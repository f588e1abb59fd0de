"""What was aimed at, beside what was measured."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

NORMS, NORMS_SHARE = ("group_norm", "ada_norm", "sampler_step"), 0.85  # of the copy's bandwidth, beyond the cache
ATTENTION_SHARE = 0.95  # of the fastest library's speed
FAMILY, OVER_EAGER, OVER_COMPILED = "sd-turbo", 4.0, 1.3
Fields = Mapping[str, Any]


class Goal(NamedTuple):
    what: str
    wanted: float
    got: float


def print_goals(rows: Sequence[Fields]) -> None:
    for goal in goals(rows):
        verdict = "met" if goal.got >= goal.wanted else "MISSED"
        print(f"goal {verdict}: {goal.what}: {goal.got:.2f}, wanted {goal.wanted:.2f}")


def goals(rows: Sequence[Fields]) -> Iterator[Goal]:
    """Those that something was measured of."""
    for row in rows:
        if row["stage"] == "kernels" and row["kind"] == "row":
            yield from _of_kernel(row["measured"])
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
