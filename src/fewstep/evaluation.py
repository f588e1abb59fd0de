"""Quality against steps, offline: what `fewstep evaluate` prints of a model that brings a yardstick.

The yardstick is a small network that reads the labels off a picture. It and the statistics of its features on two sets
of held-out real pictures travel in the bundle, named by its evaluation.json. A row of the table is the share of
pictures read as asked for and the Frechet distance of their features to the first held-out set: an internal yardstick,
not FID. Compare rows of one table with each other and with its floor, the second held-out set against the first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as load_safetensors

from fewstep.api import load, open_model, shipped_models
from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import Component, ImageSpec, LabelTable, TensorSpec
from fewstep.engine.checks import file_name, identifier, whole
from fewstep.engine.image import Images
from fewstep.engine.pipeline import Pipeline
from fewstep.engine.reading import strict_json
from fewstep.engine.reading.fields import Fields
from fewstep.engine.reading.onnx_external import check_graph
from fewstep.engine.reading.safetensors_header import read_header
from fewstep.engine.telemetry import refuse_telemetry
from fewstep.errors import BundleError, InputError

if TYPE_CHECKING:
    import onnxruntime as ort

Array = NDArray[np.float64]
Progress = Callable[[str, int, int], None]
FILE = "evaluation.json"
MAX_JSON = 1 << 16
CHUNK = 250
MIN_PICTURES = 500  # fewer leave the features' covariance nearly singular
MAX_PICTURES = 100_000


@dataclass(frozen=True)
class Row:
    """accuracy: label table -> share of the n pictures that are read as asked for; empty for the floor."""

    name: str
    n: int
    frechet: float
    accuracy: dict[str, float]


@dataclass(frozen=True)
class Gaussian:
    """mean: (D,); covariance: (D, D)."""

    mean: Array
    covariance: Array

    @classmethod
    def fit(cls, features: Array) -> "Gaussian":
        """features: (n, D)."""
        return cls(features.mean(0), np.cov(features, rowvar=False))


def frechet(p: Gaussian, q: Gaussian) -> float:
    """||m_p - m_q||^2 + tr(C_p + C_q - 2 (C_p C_q)^(1/2)); Heusel et al. 2017 (arXiv 1706.08500), equation 6."""
    root_trace = np.sqrt(np.linalg.eigvals(p.covariance @ q.covariance).real.clip(min=0)).sum()
    return float(np.square(p.mean - q.mean).sum() + np.trace(p.covariance) + np.trace(q.covariance) - 2 * root_trace)


@dataclass(frozen=True)
class Yardstick:
    """session: x (B, C, H, W) -> readings (B, features + one logit a label value)."""

    session: "ort.InferenceSession"
    held_out: Gaussian
    other: Gaussian
    teacher: str
    tables: tuple[LabelTable, ...]
    image: ImageSpec

    @classmethod
    def open(cls, bundle: Bundle) -> "Yardstick":
        """The yardstick of a bundle's evaluation.json. InputError if it has none, BundleError if it is damaged."""
        name = bundle.manifest.name
        if FILE not in bundle.files:
            raise InputError(f"{name} brings no {FILE}, so it cannot be evaluated; the shipped model toons16 does")
        try:
            return cls._open(bundle)
        except InputError as error:
            raise BundleError(f"{name}: {error}") from error

    @classmethod
    def _open(cls, bundle: Bundle) -> "Yardstick":
        fields = Fields(FILE, strict_json.loads(bundle.files[FILE], FILE, MAX_JSON))
        graph_name, reference_name = fields.take("yardstick", file_name), fields.take("reference", file_name)
        teacher = fields.take("teacher", identifier)
        fields.done()
        for name in (graph_name, reference_name):
            if name not in bundle.files:
                raise InputError(f"{FILE}: file {name} is not listed in the bundle")
        image = bundle.manifest.image
        shape = ("B", image.channels, image.height, image.width)
        x, readings = TensorSpec("x", "float32", shape), TensorSpec("readings", "float32", ("B",))
        check_graph(bundle.files[graph_name], Component(graph_name, (), (x,), (readings,)), {})
        read_header(bundle.files[reference_name], reference_name)
        reference = load_safetensors(bundle.files[reference_name])
        held_out, other = (_gaussian(reference, split) for split in ("test", "test2"))
        refuse_telemetry()
        import onnxruntime as ort

        session = ort.InferenceSession(bundle.files[graph_name], providers=["CPUExecutionProvider"])
        return cls(session, held_out, other, teacher, bundle.manifest.labels, image)

    def read(self, images: Images) -> tuple[Array, NDArray[np.int64]]:
        """Features (n, D) of uint8 images (n, H, W, C), and the value read for each label table (n, L)."""
        low, high = self.image.range
        x = images.transpose(0, 3, 1, 2).astype(np.float32) * np.float32((high - low) / 255) + np.float32(low)
        (readings,) = self.session.run(None, {"x": x})
        D = len(self.held_out.mean)
        ends = np.cumsum([D, *(len(table.values) for table in self.tables)])
        logits = np.split(readings, ends[:-1], axis=1)[1:]
        return readings[:, :D].astype(np.float64), np.stack([part.argmax(1) for part in logits], axis=1)


def evaluate(model: str | Path = "toons16", n: int = 5000, *, progress: Progress | None = None) -> Iterator[Row]:
    """Yields the rows of a model's table: the floor, its teacher (the bundle of that name beside it) at each of
    its step counts, then the model itself.

    n: pictures a row, 500 to 100,000; figures of few pictures are biased up. Labels run through all values of the first
    table, the others are drawn from the seeds 0 to n - 1. progress(row, done, n) is called as pictures are made.
    """
    count = whole("n", n, MIN_PICTURES, MAX_PICTURES)
    bundle = open_model(model)
    yardstick = Yardstick.open(bundle)
    yield Row("real against real", 0, frechet(yardstick.held_out, yardstick.other), {})
    shipped = isinstance(model, str) and model in shipped_models()
    teacher = yardstick.teacher if shipped else bundle.path.with_name(yardstick.teacher)
    for source in (teacher, model):
        pipe = load(source)
        if pipe.manifest.labels != yardstick.tables:
            raise BundleError(f"{source}: its labels are not those of {model}, whose yardstick reads them")
        for steps in sorted(pipe.manifest.schedule.steps, reverse=source is teacher):
            yield _row(pipe, yardstick, steps, count, progress)


def _row(pipe: Pipeline, yardstick: Yardstick, steps: int, n: int, progress: Progress | None) -> Row:
    first, name = yardstick.tables[0], f"{pipe.manifest.name}, {steps} steps"
    features, right = [], np.zeros(len(yardstick.tables))
    for start in range(0, n, CHUNK):
        seeds = range(start, min(start + CHUNK, n))
        labels = [{first.name: first.values[seed % len(first.values)]} for seed in seeds]
        result = pipe(label=labels, seed=list(seeds), steps=steps)
        part, values = yardstick.read(result.images)
        wanted = [[table.values.index(row[table.name]) for table in yardstick.tables] for row in result.labels]
        features.append(part)
        right += (values == np.array(wanted)).sum(0)
        if progress is not None:
            progress(name, seeds.stop, n)
    accuracy = {table.name: float(share) for table, share in zip(yardstick.tables, right / n, strict=True)}
    return Row(name, n, frechet(yardstick.held_out, Gaussian.fit(np.concatenate(features))), accuracy)


def _gaussian(reference: dict[str, NDArray[np.float64]], split: str) -> Gaussian:
    mean, covariance = reference.get(f"{split}.mean"), reference.get(f"{split}.cov")
    if mean is None or covariance is None or mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise InputError(f"reference: expected {split}.mean (D,) and {split}.cov (D, D)")
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        raise InputError(f"reference: expected finite {split}.mean and {split}.cov")
    return Gaussian(mean, covariance)
