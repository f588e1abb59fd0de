"""An inference engine for diffusion models distilled to one to four steps."""

from fewstep.api import load
from fewstep.engine.schedule import Schedule, sample, schedule
from fewstep.errors import (
    BackendError,
    BundleError,
    ContractError,
    DeviceError,
    FewstepError,
    InputError,
    LoweringError,
    MissingDependencyError,
    OutputError,
    PlanError,
    UnknownModelError,
)

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "BundleError",
    "ContractError",
    "DeviceError",
    "FewstepError",
    "InputError",
    "LoweringError",
    "MissingDependencyError",
    "OutputError",
    "PlanError",
    "Schedule",
    "UnknownModelError",
    "__version__",
    "load",
    "sample",
    "schedule",
]
