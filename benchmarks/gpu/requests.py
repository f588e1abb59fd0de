"""Whole requests of the families at full size, with random weights."""

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec

from benchmarks.gpu.session import Item, Row, Session

NEEDED = ("diffusers", "transformers")
FAMILIES = ("sd-turbo", "sana-sprint", "sdxl-turbo", "cd_imagenet64", "flux-schnell")
OURS = ("eager", "eager-channels-last", "fused", "captured")
RIVAL = ("captured", "compiled")
MODE = "max-autotune"


def pipelines(session: Session) -> Iterator[Item]:
    """First what each family gains, then torch.compile at its best, which takes minutes to get ready."""
    families = [name for name in FAMILIES if not session.families or name in session.families]
    for names in (OURS,) if session.dry else (OURS, RIVAL):
        for family in families[: 1 if session.dry else None]:
            yield f"{family} {'+'.join(names)}", partial(_measure, session, family, names)


def check_needed() -> None:
    """Raises ModuleNotFoundError that says how to get what the families' networks are made of."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        command = f"pip install --no-index --find-links DIR {' '.join(missing)}"
        raise ModuleNotFoundError(f"{', '.join(missing)} missing: {command}")


def _measure(session: Session, family: str, names: tuple[str, ...]) -> Iterator[Row]:
    check_needed()
    from fewstep.profile.family import family_makers
    from fewstep.profile.marks import Marks
    from fewstep.profile.pipeline import profile_requests
    from fewstep.profile.text import request_table

    marks = Marks(session.device)
    size, rounds = ("tiny", 1) if session.dry else ("full", session.rounds)
    makers = family_makers(family, marks, device=session.device, size=size, mode=MODE, names=names)
    found = profile_requests(makers, marks, session.device, rounds)
    peers = {name: request.as_dict() for name, request in found.items()}
    fields = {"family": family, "size": size, "mode": MODE, "peers": peers}
    yield Row(f"{size}\n{request_table(found)}", fields)
