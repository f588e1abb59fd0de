"""Flags of the commands that take a published checkpoint, and what was given with them."""

import argparse
from typing import Any

from fewstep.cli.parser import Parser, loras, size
from fewstep.errors import InputError


def add_options(parser: Parser) -> None:
    options = parser.add_argument_group("of a published checkpoint")
    options.add_argument("--family", help="what it was distilled for, where its files do not say")
    options.add_argument("--distilled-steps", type=int, metavar="N", help="and for which step count, likewise")
    options.add_argument("--size", type=size, metavar="WxH", help="of the picture, 512x512 (as it was trained)")
    options.add_argument("--variant", help="of the weights' files, such as fp16")
    options.add_argument("--denoiser", metavar="FILE", help="a single file with the denoiser to take instead")
    options.add_argument("--loras", type=loras, metavar="A=S,B", help="LoRA files, each with its strength (1)")
    options.add_argument("--config", metavar="FOLDER", help="of diffusers: configurations for a single file")
    options.add_argument("--tile", type=int, metavar="PIXELS", help="decode in tiles of this side (whole)")
    options.add_argument("--offline", action="store_true", default=None, help="fetch nothing from huggingface.co")


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """For fewstep.load and export.from_checkpoint.Wanted; raises InputError with a model that is no checkpoint."""
    from fewstep.api import CHECKPOINT_OPTIONS, is_checkpoint, is_plan

    given = {name: getattr(args, name) for name in CHECKPOINT_OPTIONS if getattr(args, name) is not None}
    closed = [name for name in given if name != "loras" or not is_plan(args.model)]
    if closed and not is_checkpoint(args.model):
        raise InputError(f"{closed[0]}: expected with a published checkpoint alone, got {args.model[:200]!r}")
    return given
