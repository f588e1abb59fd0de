"""The names that Z-Image's own code gives the layers of its attention, which keeps q, k and v in one matrix."""

from collections.abc import Iterable, Iterator

QKV = ("to_q", "to_k", "to_v")


def z_image_names(modules: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The original names, each with the modules whose rows its matrix has, one after the other."""
    for name in modules:
        attention, _, layer = name.rpartition(".")
        if layer == QKV[0]:
            yield f"{attention}.qkv", tuple(f"{attention}.{part}" for part in QKV)
        elif name.endswith(".attention.to_out.0"):
            yield f"{attention.removesuffix('.to_out')}.out", (name,)
