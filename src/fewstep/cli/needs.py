"""Commands that an extra brings."""

from importlib.util import find_spec

from fewstep.errors import MissingDependencyError


def require(command: str, *modules: str, extra: str = "export") -> None:
    """Raises MissingDependencyError, naming the extra, where one of the modules is not installed."""
    if missing := [name for name in modules if find_spec(name) is None]:
        raise MissingDependencyError(f"{command} needs {', '.join(missing)}; pip install 'fewstep[{extra}]'")
