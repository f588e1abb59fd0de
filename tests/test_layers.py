"""The arrows of the design: folders are layers, and import downwards only."""

import ast
import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "fewstep"

# What each layer may import of fewstep, besides itself. What is not named here is a face, and may import everything.
ARROWS = {
    "errors": set[str](),
    "_runtime": set[str](),
    "kernels": {"errors"},
    "engine": {"errors", "kernels", "_runtime"},
    "export": {"errors", "kernels", "engine"},
}
FACES = {
    "__init__",
    "__main__",
    "api",
    "cli",
    "serve",
    "profile",
    "evaluation",
    "compilation",
    "plan_loras",
    "published",
    "verification",
}
SYSTEM = {
    "dlfcn.h", "fcntl.h", "immintrin.h", "stddef.h", "stdint.h",
    "linux/futex.h", "sys/mman.h", "sys/stat.h", "sys/syscall.h", "sys/types.h", "unistd.h",
}  # fmt: skip
BASE_INSTALL = {"numpy", "onnxruntime", "PIL", "safetensors"}
NEED_AN_EXTRA = re.compile(
    r"fewstep\.(kernels|export|profile|serve|compilation|published)\b|fewstep\.engine\.backends\.(torch|tensorrt)\b"
)

Imports = dict[str, set[str]]


def read_modules() -> dict[str, str]:
    """Source by module name; a package's own file is named PACKAGE.__init__."""
    paths = [*PACKAGE.rglob("*.py"), PACKAGE / "_runtime.pyi"]
    return {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path.read_text() for path in paths}


def at_import_time(tree: ast.AST) -> list[ast.AST]:
    """The nodes that run when the module is imported: no function bodies, no TYPE_CHECKING blocks."""
    found: list[ast.AST] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        found += [node, *at_import_time(node)]
    return found


def imported(nodes: list[ast.AST], module: str, modules: set[str]) -> set[str]:
    """The modules that the import statements among the nodes name; `from package import name` may name a submodule."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import; write the whole name"
            assert node.module is not None
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {resolved(name, modules) for name in names}


def resolved(name: str, modules: set[str]) -> str:
    if name.split(".")[0] != "fewstep":
        return name
    while name not in modules and f"{name}.__init__" not in modules:
        name = name.rpartition(".")[0]
        assert name, "an import of fewstep that names no module of it"
    return name if name in modules else f"{name}.__init__"


def import_graph(sources: dict[str, str], lazy: bool) -> Imports:
    graph: Imports = {}
    for module, source in sources.items():
        tree = ast.parse(source)
        nodes = list(ast.walk(tree)) if lazy else at_import_time(tree)
        graph[module] = imported(nodes, module, set(sources))
    return graph


def layer(module: str) -> str:
    return module.split(".")[1]


def upward_imports(sources: dict[str, str]) -> list[str]:
    return [
        f"{module} imports {name}"
        for module, names in import_graph(sources, lazy=True).items()
        for name in names
        if name.startswith("fewstep.") and layer(module) in ARROWS
        if layer(name) not in ARROWS[layer(module)] | {layer(module)}
    ]


def import_cycle(sources: dict[str, str]) -> list[str]:
    """The modules of one cycle of imports that run at import time, or nothing."""
    graph = {m: names & set(sources) - {m} for m, names in import_graph(sources, lazy=False).items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def extras_in_the_base_install(sources: dict[str, str]) -> list[str]:
    return [
        f"{module} imports {name}"
        for module, names in import_graph(sources, lazy=False).items()
        for name in names
        if not NEED_AN_EXTRA.match(module)
        if name.split(".")[0] not in BASE_INSTALL | {"fewstep"} | sys.stdlib_module_names or NEED_AN_EXTRA.match(name)
    ]


def test_every_part_of_the_package_is_a_layer_or_a_face() -> None:
    assert {layer(module) for module in read_modules()} <= ARROWS.keys() | FACES


def test_imports_point_downwards() -> None:
    assert upward_imports(read_modules()) == []


def test_imports_make_no_cycle() -> None:
    assert import_cycle(read_modules()) == []


def test_the_base_install_imports_no_extra() -> None:
    assert extras_in_the_base_install(read_modules()) == []


def test_nothing_imports_through_the_links_or_from_outside_the_package() -> None:
    outside = {"engine", "kernels", "export", "src", "tests", "recipes", "benchmarks"}
    graph = import_graph(read_modules(), lazy=True)
    assert [(m, name) for m, names in graph.items() for name in names if name.split(".")[0] in outside] == []


def test_package_files_between_the_modules_are_empty() -> None:
    assert [str(p) for p in PACKAGE.glob("*/**/__init__.py") if p.read_text().strip()] == []


def test_the_core_of_the_runtime_includes_the_system_and_itself_only() -> None:
    source = ROOT / "runtime" / "src"
    files = [*ROOT.glob("runtime/include/**/*.h"), *source.rglob("*.cc"), *source.rglob("*.h")]
    assert files
    for path in files:
        for include in re.findall(r"^#include (.+)$", path.read_text(), re.MULTILINE):
            own = re.fullmatch(r'"([a-z0-9_/]+\.h)"', include)
            if own is None:
                assert re.fullmatch(r"<[a-z_]+>", include) or include[1:-1] in SYSTEM, f"{path.name} includes {include}"
                continue
            roots = (path.parent, source, ROOT / "runtime" / "include")
            found = next((root / own[1] for root in roots if (root / own[1]).is_file()), None)
            assert found is not None, f"{path.name} includes {include}"
            rooms = {p.relative_to(source).parts[0] for p in (path, found) if p.is_relative_to(source)}
            assert len(rooms & {"cpu", "cuda", "plan"}) < 2, f"{path} and {found}: rooms of their own"


E_ENGINE, E_EXPORT = "fewstep.engine.a", "fewstep.export.b"


@pytest.mark.parametrize(
    "source",
    [
        "import fewstep.export.b",
        "from fewstep.export import b",
        "from fewstep.export.b import f",
        "def f():\n    from fewstep.export.b import f",
        "from fewstep import load",
    ],
)
def test_an_upward_import_is_seen(source: str) -> None:
    sources = {"fewstep.__init__": "", "fewstep.export.__init__": "", E_ENGINE: source, E_EXPORT: ""}
    assert len(upward_imports(sources)) == 1


def test_a_cycle_is_seen_and_a_lazy_import_is_none() -> None:
    at_top, lazy = "from fewstep.engine.c import g", "def f() -> None:\n    from fewstep.engine.c import g"
    back = {"fewstep.engine.__init__": "", "fewstep.engine.c": f"from {E_ENGINE} import f"}
    assert set(import_cycle({E_ENGINE: at_top, **back})) == {E_ENGINE, "fewstep.engine.c"}
    assert import_cycle({E_ENGINE: lazy, **back}) == []


def test_an_extra_is_seen_where_it_is_imported_at_once() -> None:
    assert extras_in_the_base_install({E_ENGINE: "import torch"}) == [f"{E_ENGINE} imports torch"]
    assert extras_in_the_base_install({E_ENGINE: "def f() -> None:\n    import torch"}) == []
    assert extras_in_the_base_install({E_EXPORT: "import torch"}) == []
