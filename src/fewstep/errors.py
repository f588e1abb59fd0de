"""Every error a user can meet. All are FewstepError; each message says what was wrong, why, and what to do."""


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


class BackendError(FewstepError, RuntimeError):
    """A backend could not be made or failed while it ran."""


class OutputError(FewstepError, OSError):
    """A result could not be written. Whatever was at the destination before is unharmed."""


class MissingDependencyError(FewstepError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""
