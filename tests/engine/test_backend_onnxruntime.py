import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from small_bundle import LABELS, SIDE, TRIGFLOW, graph, write_bundle

from fewstep.engine.backends.onnxruntime import OnnxRuntimeBackend
from fewstep.engine.backends.state import State
from fewstep.engine.bundle import Bundle
from fewstep.engine.image import to_uint8
from fewstep.engine.job import Job
from fewstep.engine.noise import normal
from fewstep.engine.sampling import sample
from fewstep.engine.schedule import SAMPLERS, GuidedSchedule, Schedule, schedule
from fewstep.engine.start import Start
from fewstep.errors import BackendError, BundleError, ContractError, InputError, MissingDependencyError

SHAPE = (3, SIDE, SIDE)
NULL_SHARE = np.float32(0.9)
Floats = NDArray[np.float32]
NULL = [len(values) for _, values in LABELS]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(write_bundle(tmp_path_factory.mktemp("bundle") / "small"))


def network(u: Floats, tau: float, *_: float) -> Floats:
    out: Floats = np.tanh(u[::-1] * np.float32(1.3) + np.float32(np.cos(tau)))
    return out


def picture(table: Schedule, masked: bool) -> Start:
    """To be changed from the second row on, where one can begin there."""
    mask = (normal([4], 0, (1, SIDE, SIDE)) > 0).astype(np.float32) if masked else None
    first = 1 if len(table) > 1 and not table.e[1] else 0
    return Start(latents=normal([3], 0, SHAPE), mask=mask, first=first)


@pytest.mark.parametrize("given", ["noise", "picture", "masked"])
@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("guidance", [None, 1.5], ids=["plain", "guided"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_the_state_in_place_is_the_reference_loop_to_the_bit(
    name: str, guidance: float | None, steps: int, given: str
) -> None:
    table = schedule(name, steps)
    plan: Schedule | GuidedSchedule = table if guidance is None else table.guided(guidance)
    noise, draws = normal([7], 0, SHAPE), normal(range(1, len(table) + 1), 1, SHAPE)
    start = Start() if given == "noise" else picture(table, masked=given == "masked")
    state = State((1, *SHAPE))
    for _ in range(2):  # the second run must not see the first one's history
        state.start(table, noise, start)
        for i in range(start.first, len(table)):
            m = network(state.scale_input(table, i), table.tau[i])
            outputs = [m] if guidance is None else [NULL_SHARE * m, m]
            state.advance(plan, i, outputs, draws[i] if table.c[i] else None)
            state.keep(table, i, noise, start)
        out = state.finish(table).copy()

    def reference(u: Floats, *times: float) -> object:
        m = network(u, *times)
        return m if guidance is None else (NULL_SHARE * m, m)

    pictures: dict[str, Any] = {"latents": start.latents, "mask": start.mask, "first": start.first}
    assert np.array_equal(out, sample(plan, reference, noise, lambda i: draws[i], **pictures))
    assert np.isfinite(out).all()


def by_hand(bundle: Bundle, seed: int, labels: list[int], plan: Schedule | GuidedSchedule) -> NDArray[np.uint8]:
    """One image by the reference loop and plain session.run."""
    session = ort.InferenceSession(bundle.session_inputs("denoiser")[0], providers=["CPUExecutionProvider"])
    rows = np.array([labels] if isinstance(plan, Schedule) else [NULL, labels])
    B = len(rows)

    def run(u: Floats, tau: float) -> object:
        feed = {"x": np.repeat(u, B, axis=0), "t": np.full(B, tau, np.float32), "labels": rows}
        m = session.run(None, feed)[0]
        return m if B == 1 else (m[:1], m[1:])

    x: Floats = sample(plan, run, normal([seed], 0, SHAPE), lambda i: normal([seed], i + 1, SHAPE))
    image: NDArray[np.uint8] = to_uint8(x)[0]
    return image


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("guidance", [None, 2.0], ids=["plain", "guided"])
@pytest.mark.parametrize("steps", [1, 2, 4])
def test_images_are_the_reference_loop_s(bundle: Bundle, steps: int, guidance: float | None, threads: int) -> None:
    table = schedule("trigflow", steps, **TRIGFLOW[str(steps)])
    plan = table if guidance is None else table.guided(guidance)
    backend = OnnxRuntimeBackend(bundle, threads=threads)
    seeds, labels = [7, 2**64 - 1, 0, 8], np.array([[0, 1, 2], [2, 2, 3], [1, 0, 0], [0, 1, 2]])
    images, timings = backend.run(Job(seeds, {"labels": labels, "null_labels": np.array([NULL] * 4)}, plan))
    assert images.shape == (4, SIDE, SIDE, 3) and images.dtype == np.uint8
    for image, seed, row in zip(images, seeds, labels, strict=True):
        assert np.array_equal(image, by_hand(bundle, seed, row.tolist(), plan))
    assert len(timings.denoise) == steps and all(ms > 0 for ms in (*timings.denoise, timings.decode, timings.load))


def test_the_latent_scaling_and_the_range_are_the_bundle_s(bundle: Bundle, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "latent": {"scaling_factor": 2.0, "shift_factor": 0.25},
        "image": {"width": SIDE, "height": SIDE, "channels": 3, "range": [0, 1]},
    }
    other = OnnxRuntimeBackend(Bundle.open(write_bundle(tmp_path, **changes)), threads=1)
    table = schedule("trigflow", 1)
    labels = {"labels": np.array([[0, 0, 0]])}
    grey, _ = OnnxRuntimeBackend(bundle, threads=1).run(Job([1], labels, table))
    moved, _ = other.run(Job([1], labels, table))
    inside = (grey > 0) & (grey < 255)
    x = grey / 127.5 - 1
    expected = np.clip((x / 2 + 0.25) * 255, 0, 255)
    assert inside.mean() > 0.5 and np.abs(moved - expected)[inside].max() <= 1.01


def test_progress_counts_every_image(bundle: Bundle) -> None:
    seen: list[tuple[int, int]] = []
    backend = OnnxRuntimeBackend(bundle, threads=2)
    backend.run(
        Job([1, 2, 3], {"labels": np.zeros((3, 3), np.int64)}, schedule("trigflow", 1)),
        lambda done, n: seen.append((done, n)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_numbers_that_overflow_are_an_error_and_the_backend_lives_on(tmp_path: Path) -> None:
    backend = OnnxRuntimeBackend(Bundle.open(write_bundle(tmp_path, overflow=True)), threads=2)
    for _ in range(2):
        with pytest.raises(BackendError, match="returned NaN or Inf at step 1 of 2"):
            backend.run(Job([1, 2, 3], {"labels": np.zeros((3, 3), np.int64)}, schedule("trigflow", 2)))


def test_a_schedule_of_two_times_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ContractError, match="needs a network of two times"):
        OnnxRuntimeBackend(bundle, threads=1).run(
            Job([1], {"labels": np.zeros((1, 3), np.int64)}, schedule("meanflow", 1))
        )


def test_a_device_that_is_not_there_names_the_package(bundle: Bundle) -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.raises(MissingDependencyError, match=r"pip install 'fewstep\[cuda\]'"):
        OnnxRuntimeBackend(bundle, device="cuda")


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2", 10**6])
def test_illegal_threads(bundle: Bundle, threads: object) -> None:
    with pytest.raises(InputError, match="threads: expected an integer from 1 to 256"):
        OnnxRuntimeBackend(bundle, threads=threads)  # type: ignore[arg-type]


def test_an_illegal_device(bundle: Bundle) -> None:
    with pytest.raises(InputError, match="device: expected one of cpu, cuda"):
        OnnxRuntimeBackend(bundle, device="tpu")


def edited(change: str) -> bytes:
    """The graph with its output renamed, of another type, of another size, or of a size known only at run time."""
    model = onnx.ModelProto.FromString(graph())
    (output,) = model.graph.output
    node = model.graph.node[-1]
    if change == "name":
        node.output[0] = output.name = "G"
    elif change == "dtype":
        node.output[0] = "f32"
        model.graph.node.append(helper.make_node("Cast", ["f32"], ["F"], to=TensorProto.FLOAT16))
        output.type.tensor_type.elem_type = TensorProto.FLOAT16
    elif change == "rank":
        output.type.tensor_type.shape.dim[3].dim_value = 2 * SIDE
        node.output[0] = "half"
        model.graph.node.append(helper.make_node("Concat", ["half", "half"], ["F"], axis=3))
    else:  # twice as wide if the time is above 1, whatever the declaration says
        model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 1]), "ones3"))
        node.output[0] = "half"
        model.graph.node.extend(
            [
                helper.make_node("Ceil", ["t"], ["up"]),
                helper.make_node("Cast", ["up"], ["wide"], to=TensorProto.INT64),
                helper.make_node("Concat", ["ones3", "wide"], ["repeats"], axis=0),
                helper.make_node("Tile", ["half", "repeats"], ["F"]),
            ]
        )
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("change", ["name", "dtype", "rank"])
def test_a_graph_that_is_not_what_its_manifest_says(tmp_path: Path, change: str) -> None:
    with pytest.raises(BundleError, match="denoiser"):
        OnnxRuntimeBackend(Bundle.open(write_bundle(tmp_path, onnx_bytes=edited(change))), threads=1)


def test_an_output_that_outgrows_its_buffer_at_run_time(tmp_path: Path) -> None:
    backend = OnnxRuntimeBackend(Bundle.open(write_bundle(tmp_path, onnx_bytes=edited("late"))), threads=1)
    with pytest.raises(BackendError, match="onnxruntime failed at step 1 of 1"):
        backend.run(Job([1], {"labels": np.zeros((1, 3), np.int64)}, schedule("trigflow", 1, times=[math.pi / 2])))
