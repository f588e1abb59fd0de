"""One group_norm problem: checked, and how its work is divided."""

from dataclasses import dataclass
from typing import Any

import triton
from torch import Tensor

from fewstep.errors import InputError
from fewstep.kernels.checks import check_device, check_dtype, check_last_contiguous, check_range, check_shape
from fewstep.kernels.group_norm_slab import widest_slab, widths
from fewstep.kernels.launch import architecture
from fewstep.kernels.pixels import check_image, image_strides
from fewstep.kernels.tuned import Config, tuned

MAX_CG = 8192
ONE_PASS = 65536  # bytes of x that one program holds in registers
SECTOR = 32  # bytes, the least that memory moves
TILE = 4096  # elements that one program of a split reads at a time
PROGRAMS = 264  # two to a multiprocessor of an H100 or H200


@dataclass(frozen=True)
class Problem:
    """x, residual: (B, C, H, W) or (B, C, N)."""

    x: Tensor
    groups: int
    residual: Tensor | None
    eps: float
    arch: int | None

    @property
    def sizes(self) -> tuple[int, int, int]:
        """B, C and the number of pixels."""
        return self.x.shape[0], self.x.shape[1], self.x[0, 0].numel()

    @property
    def args(self) -> dict[str, Any]:
        """What all kernels that read x are launched with."""
        _, C, P = self.sizes
        return {"C": C, "G": self.groups, "P": P, "W": self.x.shape[-1], "eps": self.eps, **image_strides("x", self.x)}

    def config(self, op: str, given: Config | None, *, held: bool = True) -> Config:
        """CHUNKS is 0 where one program holds a group (which held=False rules out), else the parts of the pixels."""
        B, C, P = self.sizes
        key = f"{B}x{C}x{P}/{self.groups} {self.x.dtype}"
        chosen = given or tuned(op, key, self.arch or architecture(self.x)) or {}
        fits = triton.next_power_of_2(C // self.groups) * triton.next_power_of_2(P) <= self._most(C // self.groups)
        if held and chosen.get("CHUNKS", 0 if fits else 1) == 0:
            return self._one_pass(chosen)
        return self._split(({"CHUNKS": 1, "SLAB_G": 1} if fits else {}) | chosen)

    def _most(self, channels: int) -> int:
        """Elements that one program may hold of so many neighbouring channels: few where they fill half a sector."""
        itemsize = self.x.element_size()
        return ONE_PASS // itemsize // (2 if channels * itemsize <= SECTOR // 2 else 1)

    def _one_pass(self, chosen: Config) -> Config:
        """One group to a program, unless there are so many that several still fill the device."""
        B, C, P = self.sizes
        CG, BLOCK_P = C // self.groups, triton.next_power_of_2(P)
        several = widest_slab(self.groups, CG)
        lanes = triton.next_power_of_2(several * CG) * BLOCK_P
        many = B * triton.cdiv(self.groups, several) >= PROGRAMS and lanes <= self._most(several * CG) // 2
        wide = widths(chosen.get("SLAB_G", several if many else 1), CG)
        num_warps = min(16, max(4, BLOCK_P * wide["BLOCK_C"] // 1024))
        return {"CHUNKS": 0, "BLOCK_P": BLOCK_P, "num_warps": num_warps} | chosen | wide

    def _split(self, chosen: Config) -> Config:
        B, C, P = self.sizes
        CG = C // self.groups
        wide = widths(chosen.get("SLAB_G", widest_slab(self.groups, CG)), CG)
        BLOCK_P = chosen.get("BLOCK_P", min(triton.next_power_of_2(P), max(1, TILE // wide["BLOCK_C"])))
        tiles, slabs = triton.cdiv(P, BLOCK_P), B * triton.cdiv(self.groups, wide["SLAB_G"])
        defaults = {
            "CHUNKS": _even(tiles, triton.cdiv(PROGRAMS, slabs)),
            "PROGRAMS": _even(tiles, triton.cdiv(2 * PROGRAMS, slabs)),
            "BLOCK_P": BLOCK_P,
            "STAGES": 4 if self.x.element_size() == 2 else 3,
            "num_warps": 8,
        }
        config = defaults | chosen | wide
        return config | {"CHUNKS": min(tiles, config["CHUNKS"])}  # a chunk has pixels


def _even(tiles: int, programs: int) -> int:
    """The fewest programs that take no more turns at the tiles than so many would."""
    turns = -(-tiles // programs)
    return -(-tiles // turns)


def check_problem(
    x: Tensor,
    groups: int,
    eps: float,
    residual: Tensor | None = None,
    arch: int | None = None,
    **channels: Tensor | None,
) -> Problem:
    """channels: weight and bias (C,), scale and shift (B, C)."""
    B, C, _ = check_image("x", x)
    check_dtype("x", x)
    check_range("groups", groups, 1, C)
    if C % groups:
        raise InputError(f"groups: expected a divisor of the {C} channels, got {groups}")
    check_range("C / groups", C // groups, 1, MAX_CG)
    if not eps >= 0:
        raise InputError(f"eps: expected a number of at least 0, got {eps!r}")
    if residual is not None:
        check_shape("residual", residual, tuple(x.shape))
        check_dtype("residual", residual, (x.dtype,))
    for name, m in channels.items():
        if m is not None:
            check_shape(name, m, (C,) if name in ("weight", "bias") else (B, C))
            check_dtype(name, m)
            check_last_contiguous(name, m)
    check_device(x=x, residual=residual, **channels)
    return Problem(x, groups, residual, float(eps), arch)


def chosen_for(config: Config, *names: str) -> Config:
    """Of a division's constants, those that one kernel takes."""
    return {name: config[name] for name in (*names, "CG", "BLOCK_P", "BLOCK_G", "num_warps")}
