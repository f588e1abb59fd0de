"""An inference engine for diffusion models distilled to one to four steps."""

from fewstep.api import load
from fewstep.engine.schedule import Schedule, sample, schedule
from fewstep.errors import (
    BackendError,
    BundleError,
    ContractError,
    FewstepError,
    InputError,
    MissingDependencyError,
    OutputError,
    UnknownModelError,
)

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "BundleError",
    "ContractError",
    "FewstepError",
    "InputError",
    "MissingDependencyError",
    "OutputError",
    "Schedule",
    "UnknownModelError",
    "__version__",
    "load",
    "sample",
    "schedule",
]
