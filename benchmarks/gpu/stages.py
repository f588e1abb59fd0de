"""The stages by name. Each gives its items in order of value."""

from collections.abc import Callable, Iterator, Mapping

import torch

from benchmarks.gpu.kernel_table import kernels
from benchmarks.gpu.kernel_tests import tests
from benchmarks.gpu.plans import plans
from benchmarks.gpu.requests import pipelines
from benchmarks.gpu.session import Item, Row, Session
from benchmarks.gpu.tuning import tuning
from fewstep.profile.ceilings import measure_ceilings
from fewstep.profile.machine import machine

DTYPES = (torch.bfloat16, torch.float16, torch.float32)


def facts(session: Session) -> Iterator[Item]:
    def measure() -> Iterator[Row]:
        found = machine(session.device)
        gpu = found.get("gpu", {"name": "no GPU"})
        versions = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
        yield Row(f"{gpu['name']}, driver {gpu.get('driver')}, {versions}", {"machine": found})

    yield "machine", measure


def ceilings(session: Session) -> Iterator[Item]:
    def measure() -> Iterator[Row]:
        found = (
            measure_ceilings("cpu", DTYPES[2:], copy_bytes=1 << 20, side=64)
            if session.dry
            else measure_ceilings("cuda", DTYPES)
        )
        rates = ", ".join(f"{rate / 1e12:.4g} TFLOP/s {dtype}" for dtype, rate in found.product.items())
        yield Row(f"copy {found.copy / 1e9:.4g} GB/s, {rates}", {"ceilings": found.as_dict()})

    yield "copy and product", measure


STAGES: Mapping[str, Callable[[Session], Iterator[Item]]] = {
    "facts": facts,
    "ceilings": ceilings,
    "tests": tests,
    "plans": plans,
    "kernels": kernels,
    "tune": tuning,
    "pipelines": pipelines,
}
