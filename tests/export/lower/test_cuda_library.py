"""Products that a plan leaves to cuBLASLt: which they are, that they are right, and that the rest stays Triton's."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from launched import launched
from run_program import Machine

from fewstep import _runtime
from fewstep.export.lower.assemble import Header, assemble
from fewstep.export.lower.cuda.describe import Target
from fewstep.export.lower.cuda.launches import add_launches, with_launches
from fewstep.export.lower.cuda.library import WORKSPACE, counted
from fewstep.export.lower.draft import Draft, DraftStage, complete
from fewstep.export.lower.memory import plan_memory
from fewstep.export.lower.plan_file import read_plan, write_plan
from fewstep.export.lower.program import Program
from fewstep.export.lower.views import View, new_view

pytestmark = pytest.mark.filterwarnings("ignore:(divide by zero|invalid value|overflow):RuntimeWarning")


def view(*shape: int, order: Sequence[int] | None = None, type: str = "f32") -> View:
    return new_view(type, shape, order)


def matmul(inputs: Sequence[View | None], y: View, **attributes: object) -> Draft:
    return Draft("matmul", "product", tuple(inputs), (y,), complete("matmul", "product", attributes))


def network(op: Draft, **target: int) -> Program:
    storages = [x.storage for x in op.inputs if x is not None]
    inputs = {f"x{k}": View(storage, (storage.elements,), (1,)) for k, storage in enumerate(storages)}
    header = Header({"device": "cuda", "architectures": [80, 90], **target}, "float32", MODEL, 1)
    return assemble(header, [DraftStage("network", (op,))], inputs, {"y": op.outputs[0]})


MODEL = {"name": "tiny", "family": "test", "bundle": ""}
A, B, T = view(5, 16), view(16, 24), view(2, 3, 16)
LIBRARY: dict[str, Draft] = {
    "plain": matmul([A, B], view(5, 24)),
    "all": matmul([A, view(16, 24, order=(1, 0)), view(24)], view(5, 24), activation="gelu_tanh", scale=0.5),
    "columns of a": matmul([view(5, 16, order=(1, 0)), B, view(24)], view(5, 24)),
    "one row": matmul([view(1, 16), B], view(1, 24)),
    "shared": matmul([T, B.expanded((2, 16, 24)), view(24)], view(2, 3, 24)),
    "batch": matmul([T, view(2, 16, 8)], view(2, 3, 8)),
    "deep": matmul([view(2, 2, 3, 16), B.expanded((2, 2, 16, 24))], view(2, 2, 3, 24)),
    "side by side": matmul([A, B], view(5, 48).sliced(1, 24, 24)),
}
TRITON: dict[str, Draft] = {
    "gate": matmul([A, B, None, view(5, 24)], view(5, 24)),
    "residual": matmul([A, B, None, None, view(5, 24)], view(5, 24)),
    "glu": matmul([A, B], view(5, 12), glu="value_first"),
    "silu": matmul([A, B], view(5, 24), activation="silu"),
    "relu": matmul([A, B], view(5, 24), activation="relu"),
    "columns": matmul([A, B], view(5, 24, order=(1, 0))),
    "heads": matmul([view(2, 4, 3, 16, order=(0, 2, 1, 3)), view(2, 4, 16, 8)], view(2, 4, 3, 8)),
    "repeated": matmul([A, view(1, 24).expanded((16, 24))], view(5, 24)),
    "types": matmul([A, B], view(5, 24, type="f16")),
}


@pytest.mark.parametrize("name", [*LIBRARY, *TRITON])
def test_products(name: str, device: str) -> None:
    program, is_library = network((LIBRARY | TRITON)[name]), name in LIBRARY
    random = np.random.default_rng(0)
    given = {key: random.normal(size=program.values[index].shape) for key, index in program.inputs.items()}
    expected = Machine(plan_memory(program), {}).run(given)["y"]
    machine = launched(program, {}, 90, "cublaslt")
    assert {"library" in launch for launch in machine.program.stages[0].ops[0].launches} == {is_library}
    assert (machine.program.arena > WORKSPACE) == is_library
    found = machine.run(given)["y"]
    tolerance = 1e-2 if name == "types" else 1e-5
    assert np.allclose(found, expected, rtol=tolerance, atol=tolerance * float(np.abs(expected).max()))


def test_each_architecture_has_the_product_and_ptx_a_kernel() -> None:
    program = network(LIBRARY["all"], ptx=80)
    targets = [Target(80), Target(90), Target(80, is_ptx=True)]
    made, _ = with_launches(program, {}, targets, lambda bound, operands: {"ptx": bound.target.arch}, "cublaslt")
    [op] = made.stages[0].ops
    libraries = [launch for launch in op.launches if "library" in launch]
    assert [launch["architecture"] for launch in libraries] == [80, 90]
    assert {"ptx": 80} in op.launches and {launch["workspace"] for launch in libraries} == {libraries[0]["workspace"]}
    for launch in libraries:
        assert [launch[key] for key in ("a", "b", "bias", "y")] == [*op.inputs[:3], op.outputs[0]]
        assert (launch["scale"], launch["activation"]) == (0.5, "gelu_tanh")
    assert counted(made) == {"pass": "products", "cublaslt": 1, "triton": 0}
    plain, _ = with_launches(program, {}, targets, lambda bound, operands: {"ptx": bound.target.arch})
    assert counted(plain) == {"pass": "products", "cublaslt": 0, "triton": 1}


@pytest.mark.parametrize("name", LIBRARY)
def test_the_runtime_reads_what_is_written(name: str, tmp_path: Path) -> None:
    launched = add_launches(network(LIBRARY[name]), {}, matmul="cublaslt")
    path = tmp_path / "plan.fsp"
    write_plan(path, plan_memory(launched.program), launched.weights)
    _runtime.check_plan(path.read_bytes())
    plan, weights = read_plan(path)
    assert [*plan.passes] == [{"pass": "products", "cublaslt": 1, "triton": 0}] and not weights
    assert [launch["architecture"] for launch in plan.stages[0].ops[0].launches] == [80, 90]
