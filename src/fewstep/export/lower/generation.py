"""A bundle as a program: its network in stages, the sampler around the loop, the picture at the end."""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from fewstep.engine.bundle import Bundle
from fewstep.engine.bundle_manifest import DECODER, DENOISER, ENCODE_PROMPT, NULL, STEP, LatentSpec, Manifest
from fewstep.engine.reading.interface import input_names
from fewstep.engine.table import GuidedSchedule
from fewstep.errors import LoweringError
from fewstep.export.lower.adapters import Adapters, modules_of
from fewstep.export.lower.assemble import Header, ScheduleViews, assemble
from fewstep.export.lower.beginning import INPUTS, Begins, Carried, of_noise, of_pictures, of_seeds
from fewstep.export.lower.component import open_component
from fewstep.export.lower.crossing import MODULATION, PROMPT, TIMES, Crossing, moved, share_storage
from fewstep.export.lower.draft import Draft, DraftStage, constant, copy
from fewstep.export.lower.fuse import fuse
from fewstep.export.lower.network import Lowered, lower_network
from fewstep.export.lower.offsets import move_offsets
from fewstep.export.lower.pass_reports import pass_reports
from fewstep.export.lower.placed import Weights, placed
from fewstep.export.lower.precision import FINISH, stage_types
from fewstep.export.lower.program import Program
from fewstep.export.lower.schedule_rows import Tables, contract_tables, first_rows, plain, schedule_rows
from fewstep.export.lower.views import View, like, new_view, row_major
from fewstep.export.lower.weights import Weight, WeightFile
from fewstep.export.staging.binding import Binding
from fewstep.export.staging.stage import stage

CPU: Mapping[str, Any] = {"device": "cpu"}
Shape = tuple[int, ...]
REQUESTED = {"int64": "i64", "float32": "f32"}


@dataclasses.dataclass(frozen=True)
class Lora:
    """Updates that the plan leaves open. rank: of each. targets: those of the denoiser's modules that have one."""

    rank: int
    targets: Callable[[Mapping[str, Shape]], Collection[str]]


def compile_bundle(
    bundle: Bundle,
    *,
    target: Mapping[str, Any] = CPU,
    steps: Sequence[int] | None = None,
    batch: int = 1,
    precision: str = "float32",
    processes: int | None = None,
    progress: Callable[[str], None] = lambda what: None,
    matmul: str = "triton",
    lora: Lora | None = None,
    noise: str = "seeds",
    edit: bool = False,
) -> tuple[Program, Weights]:
    """The program of a generation and the weights it names, for plan_file.write_plan.

    steps: those of the contract's step counts that it serves, by default all; batch: images of one run; processes: how
    many compile kernels at a time, one a core unless given; progress: told how far they are; matmul: who makes plain
    products on a GPU, triton or cublaslt; lora: what updates are left open; noise: made of "seeds" on the device, or an
    "input" as the first state is then; edit: besides, what of a picture is kept is an input. Raises ContractError for
    a setting the model has not, LoweringError for a network no plan can hold, InputError for updates that the model
    has not.
    """
    tables = contract_tables(bundle.manifest, steps)
    begins = of_pictures if edit else of_noise if noise == "input" else of_seeds
    program, weights = _Generation(bundle, tables, batch, precision, target, lora, begins).compile()
    return placed(program, weights, processes, progress, matmul)


class _Generation:
    def __init__(
        self,
        bundle: Bundle,
        tables: Tables,
        batch: int,
        precision: str,
        target: Mapping[str, Any],
        lora: Lora | None,
        begins: Begins,
    ) -> None:
        self.bundle, self.manifest, self.tables, self.batch = bundle, bundle.manifest, tables, batch
        self.precision, self.target = precision, target
        is_guided = any(isinstance(table, GuidedSchedule) for table in tables.values())
        self.prefixes = (NULL, "") if is_guided else ("",)  # of the names of inputs, for each call of a step
        self.called = batch * len(self.prefixes)  # rows of the network's batch
        self.types = stage_types(precision, target["device"])
        self.file = WeightFile()
        self.first = first_rows(tables)
        self.rows = sum(tables)
        self.stages: list[DraftStage] = []
        self.passes: list[dict[str, Any]] = []
        self.crossings: dict[str, Crossing] = {}
        self.schedule = self._schedule()
        self.lora, self.adapters = lora, Adapters({}, (), 1, self.file)
        self.begins = begins
        self.inputs: dict[str, View] = {}

    def compile(self) -> tuple[Program, Weights]:
        component = self.manifest.components[DENOISER]
        state, time, *prompt = (spec.name for spec in component.inputs)
        bindings = {state: Binding.STATE, time: Binding.TIME, **dict.fromkeys(prompt, Binding.PROMPT)}
        network = open_component(self.bundle, DENOISER)
        if self.lora is not None:
            modules = modules_of(network.graph)
            self.adapters = Adapters(modules, self.lora.targets(modules), self.lora.rank, self.file)
        parts = move_offsets(stage(network, bindings))
        self.crossings[time] = Crossing(TIMES, self.schedule.views["tau"][0])
        encoded = self._encoded()
        for name, rows, before in ((TIMES, self.rows, ()), (PROMPT, self.called, encoded)):
            if name in parts:
                self._early(name, parts[name], rows, before)
            elif before:
                self.stages.append(DraftStage(name, before))
        if MODULATION in parts:
            self._modulation(parts[MODULATION])
        outputs = self._loop(parts[STEP], state)
        self.passes.append({"pass": "precision", "kept float32": sorted(set(self.file.wide))})
        header = Header(self.target, self.precision, self._model(), self.batch, self.passes)
        program = assemble(header, self.stages, self.inputs, outputs, self.schedule)
        if self.lora is not None:
            program = dataclasses.replace(program, adapters=self.adapters.described())
        return program, self.file.weights

    def _schedule(self) -> ScheduleViews:
        views = {}
        for name, rows in schedule_rows(self.tables).items():
            tensor = self.file.add(f"schedule.{name}", Weight("f32", rows.shape, rows.copy))
            views[name] = (new_view("f32", rows.shape), tensor)
        return ScheduleViews(self.first, self.rows, views)

    def _lower(self, name: str, part: ir.Model, size: int, inputs: Mapping[str, View], steps: int = 0) -> Lowered:
        part, factors = self.adapters.add(part, self.types[name].weights)
        fused, reports = fuse(part, {"B": size})
        lowered = lower_network(fused.graph, {**inputs, **factors}, self.file, self.types[name])
        self.passes += pass_reports({"stage": name, **({"steps": steps} if steps else {})}, reports, lowered)
        return lowered

    def _encoded(self) -> tuple[Draft, ...]:
        """What is made of the request before the denoiser's own stages; the conditions are crossings then."""
        known = {name: label for label, name in input_names(self.manifest).items()}
        copies: list[Draft] = []
        for spec in self.manifest.requested:
            shape = tuple(int(size) for size in spec.shape[1:])
            rows = new_view(REQUESTED[spec.dtype], (self.called, *shape))
            for prefix, part in zip(self.prefixes, self._parts(rows), strict=True):
                name = prefix + known[spec.name]
                self.inputs[name] = rows if part is rows else new_view(rows.type, part.shape)
                copies += [] if part is rows else [copy(f"{name}.rows", self.inputs[name], part)]
            self.crossings[spec.name] = Crossing(PROMPT, rows)
        if ENCODE_PROMPT not in self.manifest.components:
            return tuple(copies)
        encoder = open_component(self.bundle, ENCODE_PROMPT)
        inputs = {str(value.name): self.crossings[str(value.name)].view for value in encoder.graph.inputs}
        lowered = self._lower(PROMPT, encoder, self.called, inputs)
        self.crossings |= {name: Crossing(PROMPT, view) for name, view in lowered.outputs.items()}
        return (*copies, *lowered.ops)

    def _parts(self, view: View) -> list[View]:
        """The images of each call, of all that a step makes."""
        if len(self.prefixes) == 1:
            return [view]
        return [view.sliced(0, first, self.batch) for first in range(0, self.called, self.batch)]

    def _early(self, name: str, part: ir.Model, rows: int, before: tuple[Draft, ...]) -> None:
        """A stage of the times alone or of the prompt alone."""
        inputs = {str(value.name): self.crossings[str(value.name)].view for value in part.graph.inputs}
        lowered = self._lower(name, part, rows, inputs)
        self.stages.append(DraftStage(name, (*before, *lowered.ops)))
        self.crossings |= {key: Crossing(name, view) for key, view in lowered.outputs.items()}

    def _modulation(self, part: ir.Model) -> None:
        """Once for each step count; what they leave lies in the same place, as the loop's program is one."""
        made: dict[int, tuple[list[Draft], Mapping[str, View]]] = {}
        for N in self.tables:
            inputs, copies = dict[str, View](), list[Draft]()
            for value in part.graph.inputs:
                name = str(value.name)
                inputs[name], needed = self.crossings[name].in_modulation(name, self.called, N, self.first[N])
                copies += needed
            lowered = self._lower(MODULATION, part, N * self.called, inputs, N)
            made[N] = ([*copies, *lowered.ops], lowered.outputs)
        shared = share_storage({N: outputs for N, (_, outputs) in made.items()})
        for N, (ops, _) in made.items():
            self.stages.append(DraftStage(MODULATION, tuple(moved(ops, shared)), N))
        outputs = made[max(made)][1]
        self.crossings |= {name: Crossing(MODULATION, view) for name, view in outputs.items()}

    def _loop(self, part: ir.Model, state: str) -> dict[str, View]:
        """The stages start, step and finish; returns the program's outputs."""
        seen = {str(value.name) for value in part.graph.inputs} - {state}
        inputs = {name: self.crossings[name].in_step(self.called) for name in seen}
        lowered = self._lower(STEP, part, self.called, inputs)
        u, *others = self._parts(lowered.inputs[state])
        m, *guided = self._parts(*lowered.outputs.values())
        again = tuple(copy("again", u, other) for other in others)
        flag = new_view("i32", (self.batch,))
        has_history = any(plain(table).e.any() for table in self.tables.values())
        carried = Carried(like(u), u, like(u) if has_history else None)
        begun = self.begins(carried, self._row("scales"), max(self.tables))
        if taken := self.inputs.keys() & INPUTS:
            raise LoweringError(
                f"{self.manifest.name}: input {', '.join(sorted(taken))}: a plan has its own of that name"
            )
        self.inputs |= begun.inputs
        clear = constant("flag", flag)
        second, row = guided[0] if guided else None, self._row("coefficients")
        read = (carried.x, m, row, begun.noise, second, carried.history, begun.mask, begun.known)
        written = (carried.x, u, flag, *(() if carried.history is None else (carried.history,)))
        update = Draft("sampler_step", "sampler", read, written)
        image, size = self.manifest.image, self.batch
        images = new_view("u8", (size, image.height, image.width, image.channels))
        decoder, pixels = self._decoded(u)
        finish = Draft("to_uint8", "images", (pixels,), (images,), self._grey_levels())
        self.stages += [
            DraftStage("start", (clear, *begun.ops, *again)),
            DraftStage(STEP, (*lowered.ops, update, *again)),
            DraftStage(FINISH, (*decoder, finish)),
        ]
        return {"images": images, "flag": flag, "latents": u}

    def _decoded(self, u: View) -> tuple[tuple[Draft, ...], View]:
        """The decoder's operations and its picture; without one u is the picture."""
        if DECODER not in self.manifest.components:
            return (), u
        latent, before, x = self.manifest.latent, tuple[Draft, ...](), u
        if (latent.scaling_factor, latent.shift_factor) != (1.0, 0.0):
            x = like(u)
            code = [["const", latent.scaling_factor], ["const", latent.shift_factor], ["div", 0, 1], ["add", 3, 2]]
            before = (Draft("map", "latent", (u,), (x,), {"code": code}),)
        part = open_component(self.bundle, DECODER)
        lowered = self._lower(FINISH, part, self.batch, {str(part.graph.inputs[0].name): x})
        (pixels,) = lowered.outputs.values()
        return (*before, *lowered.ops), pixels

    def _grey_levels(self) -> dict[str, float]:
        """to_uint8 wants -1 for black and 1 for white: the image's range, and without a decoder its affine step."""
        manifest = self.manifest
        if manifest.image.channels != 3:
            raise LoweringError(f"{manifest.name}: expected an image of 3 channels, got {manifest.image.channels}")
        black, white = manifest.image.range
        gain, latent = 2 / (white - black), manifest.latent
        if DECODER in manifest.components:
            latent = LatentSpec(1.0, 0.0)
        return {"scale": gain / latent.scaling_factor, "shift": gain * (latent.shift_factor - black) - 1.0}

    def _row(self, name: str) -> View:
        """The schedule's row at the step."""
        view, _ = self.schedule.views[name]
        columns = view.shape[1]
        return dataclasses.replace(view, shape=(columns,), strides=row_major((columns,)), row=columns)

    def _model(self) -> dict[str, Any]:
        manifest = self.manifest
        told: dict[str, Any] = {
            "name": manifest.name,
            "description": manifest.description,
            "license": dataclasses.asdict(manifest.license),
            "labels": [dataclasses.asdict(table) for table in manifest.labels],
            "image": dataclasses.asdict(manifest.image),
            "latent": dataclasses.asdict(manifest.latent),
            "schedule": _schedule(manifest),
        }
        if manifest.texts or manifest.embedded_guidance is not None:
            guidance = manifest.embedded_guidance
            told["texts"] = [dataclasses.asdict(text) for text in manifest.texts]
            told["embedded_guidance"] = None if guidance is None else dataclasses.asdict(guidance)
        return {"name": manifest.name, "family": manifest.family, "bundle": self.bundle.digest, "manifest": told}


def _schedule(manifest: Manifest) -> dict[str, Any]:
    told = dataclasses.replace(manifest.schedule, steps={})
    plain = {key: value for key, value in dataclasses.asdict(told).items() if value is not None}
    return {**plain, "steps": {str(steps): dict(options) for steps, options in manifest.schedule.steps.items()}}
