"""Checks that a manifest's components fit together: what a request brings, what crosses, and the picture."""

from fewstep.engine.bundle_manifest import DECODER, DENOISER, ENCODE_PROMPT, ENCODER, LABELS, Manifest, TensorSpec
from fewstep.engine.checks import refuse
from fewstep.engine.reading.tensors_reader import BATCH
from fewstep.errors import InputError

Shape = tuple[int | str, ...]
Signature = tuple[str, Shape]  # dtype and shape


def check_interface(manifest: Manifest, where: str) -> None:
    """Raises InputError naming the component that is not as docs/bundle.md says."""
    image = manifest.image
    x: Shape = (BATCH, *manifest.state.shape)
    denoiser, decoder = manifest.components[DENOISER], manifest.components.get(DECODER)
    picture: Shape = (BATCH, image.channels, image.height, image.width)
    if decoder is None and x != picture:
        raise refuse(f"{where}: state.shape", "channels, height and width of image", list(manifest.state.shape))
    _expect(f"{where}: components.{DENOISER}.inputs", denoiser.inputs[:2], [("float32", x), ("float32", (BATCH,))])
    _expect(f"{where}: components.{DENOISER}.outputs", denoiser.outputs, [("float32", x)])
    if decoder is not None:
        _expect(f"{where}: components.{DECODER}.inputs", decoder.inputs, [("float32", x)])
        _expect(f"{where}: components.{DECODER}.outputs", decoder.outputs, [("float32", picture)])
    encoder = manifest.components.get(ENCODER)
    if encoder is not None:
        if decoder is None:
            raise refuse(f"{where}: components.{ENCODER}", "none without a decoder: the state is the picture", ENCODER)
        _expect(f"{where}: components.{ENCODER}.inputs", encoder.inputs, [("float32", picture)])
        likely = [("float32", x)] * min(len(encoder.outputs), 2)
        _expect(f"{where}: components.{ENCODER}.outputs", encoder.outputs, likely or [("float32", x)])
    prompt = manifest.components.get(ENCODE_PROMPT)
    if prompt is not None and prompt.outputs != manifest.conditions:
        raise refuse(
            f"{where}: components.{ENCODE_PROMPT}.outputs", "what the denoiser takes beside x and t", prompt.outputs
        )
    _check_requested(manifest, f"{where}: components.{ENCODE_PROMPT if prompt else DENOISER}.inputs")


def input_names(manifest: Manifest) -> dict[str, str]:
    """What a component calls what a request brings, by the request's name of it: LABELS, else the same."""
    known = requested(manifest)
    return {tensor.name if tensor.name in known else LABELS: tensor.name for tensor in manifest.requested}


def requested(manifest: Manifest) -> dict[str, Signature]:
    """What texts and guidance become, by the input's name."""
    found: dict[str, Signature] = {}
    for text in manifest.texts:
        for name in (text.ids, text.mask):
            if name is not None:
                found[name] = ("int64", (BATCH, text.length))
    if manifest.embedded_guidance is not None:
        found[manifest.embedded_guidance.input] = ("float32", (BATCH,))
    return found


def _check_requested(manifest: Manifest, where: str) -> None:
    """Every input is of a text, of the guidance or the labels, and each of those is an input."""
    expected = requested(manifest)
    rows: list[Signature] = [("int64", (BATCH, len(manifest.labels)))] if manifest.labels else []
    others = []
    for tensor in manifest.requested:
        signature = expected.pop(tensor.name, None)
        if signature is None:
            others.append(tensor)
        else:
            _expect(where, [tensor], [signature])
    if expected:
        raise InputError(f"{where}: expected {', '.join(expected)}, as texts and embedded_guidance say")
    _expect(where, others, rows)


def _expect(where: str, tensors: "tuple[TensorSpec, ...] | list[TensorSpec]", expected: list[Signature]) -> None:
    found = [(tensor.dtype, tensor.shape) for tensor in tensors]
    if found != expected:
        raise refuse(where, f"dtypes and shapes {expected}", found)
