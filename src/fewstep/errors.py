"""Every error a user can meet. All are FewstepError; each message says what was wrong, why, and what to do."""

from typing import Any


class FewstepError(Exception):
    """Base of all errors raised on purpose."""


class InputError(FewstepError, ValueError):
    """A request or an argument is not legal; the message names what was expected and what was got."""


class ContractError(InputError):
    """A setting this model was not distilled for, such as a step count; the message lists what is legal."""


class UnknownModelError(InputError):
    """The name is no shipped model and the path is no bundle or checkpoint."""


class BundleError(FewstepError):
    """A bundle is damaged, incomplete or hostile. Nothing of it was run."""


class PlanError(FewstepError):
    """A plan is damaged, hostile, of another version or for another device. Nothing of it was run."""


class LoweringError(FewstepError):
    """A network has an operation that plans have not; the message names it and the backend that can run it."""

    @classmethod
    def of(cls, node: Any, reason: str) -> "LoweringError":
        """Of a node of ONNX, known by its name, domain and op_type."""
        operation = f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        return cls(f"node {node.name or '(unnamed)'}: {operation} cannot be lowered: {reason}; onnxruntime can run it")


class BackendError(FewstepError, RuntimeError):
    """A backend could not be made or failed while it ran."""


class DeviceError(BackendError):
    """A device failed. fault: out_of_memory, capture, numerical, unavailable; or fatal, and it takes a new process."""

    def __init__(self, message: str, fault: str) -> None:
        super().__init__(message)
        self.fault = fault


class OutputError(FewstepError, OSError):
    """A result could not be written. Whatever was at the destination before is unharmed."""


class MissingDependencyError(FewstepError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""
