"""Small mistakes put into the source of Triton kernels, one at a time.

Left alone is what a CPU cannot see, as it changes speed or a GPU's rounding alone: casts, hints, pipelining; what
masked lanes are loaded as, which most kernels never look at; and annotations.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift,
}  # fmt: skip
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
FUNCTIONS = {
    "maximum": "minimum", "minimum": "maximum", "max": "min", "min": "max", "sum": "max",
    "exp": "exp2", "exp2": "exp", "log": "log2", "log2": "log", "sqrt": "rsqrt", "rsqrt": "sqrt",
    "sin": "cos", "cos": "sin",
}  # fmt: skip
HINTS = {"multiple_of", "max_contiguous", "max_constancy", "assume", "static_assert", "debug_barrier", "to", "cast"}
UNSEEN = {"other", "num_stages", "warp_specialize", "flatten", "disallow_acc_multi_buffer", "loop_unroll_factor"} | {
    "input_precision", "eviction_policy", "cache_modifier", "out_dtype", "max_num_imprecise_acc", "padding_option",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    function: str
    line: int
    text: str  # of the line as it was
    change: str  # "a < b -> a <= b"
    tree: ast.Module = field(repr=False)
    old: ast.AST = field(repr=False)
    new: ast.AST = field(repr=False)

    @property
    def source(self) -> str:
        """Of the whole file, changed."""
        return ast.unparse(ast.fix_missing_locations(replaced(self.tree, self.old, self.new)))


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of every @triton.jit function of a file."""
    tree = ast.parse(source)
    lines = source.splitlines()
    for function in [node for node in tree.body if isinstance(node, ast.FunctionDef) and is_kernel(node)]:
        for node in [found for statement in function.body for found in visible(statement)]:
            for new in changes(node):
                what = f"{ast.unparse(node)} -> {ast.unparse(new)}".replace("\n", " ")
                yield Mutant(function.name, node.lineno, lines[node.lineno - 1].strip(), what, tree, node, new)


def is_kernel(function: ast.FunctionDef) -> bool:
    return any(ast.unparse(decorator).startswith("triton.jit") for decorator in function.decorator_list)


def visible(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """The nodes under this one that a test on a CPU can see the effect of."""
    if isinstance(node, ast.keyword) and node.arg in UNSEEN:
        return
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return  # a docstring
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.Call) and called(node) in HINTS:
        children = iter([node.func.value if called(node) == "to" else node.args[0]])  # type: ignore[attr-defined]
    if isinstance(node, ast.AnnAssign):
        children = iter([node.value] if node.value else [])
    for child in children:
        yield from visible(child)


def called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def changes(node: ast.expr | ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.BinOp(left, operator, right):
            yield ast.BinOp(left, OPERATORS.get(type(operator), ast.Add)(), right)
            if isinstance(operator, ast.Add | ast.Sub | ast.BitAnd | ast.BitOr):
                yield right if not isinstance(operator, ast.Sub) else ast.UnaryOp(ast.USub(), right)
            yield left
        case ast.AugAssign(target, operator, value):
            yield ast.AugAssign(target, OPERATORS.get(type(operator), ast.Add)(), value)
            yield ast.Pass()
        case ast.Compare(left, [operator], [right]):
            yield ast.Compare(left, [COMPARISONS.get(type(operator), ast.Eq)()], [right])
        case ast.BoolOp(operator, values):
            yield ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
            yield from values
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.If(test, body, orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.IfExp(test, body, orelse):
            yield ast.IfExp(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(float() as value):
            yield ast.Constant(1.1 * value if value else 1.0)
        case ast.Call():
            yield from changed_calls(node)
        case _:
            return


def changed_calls(node: ast.Call) -> Iterator[ast.Call]:
    name, given = called(node), {keyword.arg for keyword in node.keywords}
    if isinstance(node.func, ast.Attribute) and name in FUNCTIONS:
        yield ast.Call(ast.Attribute(node.func.value, FUNCTIONS[name], ast.Load()), node.args, node.keywords)
    if name == "where":
        condition, yes, no = node.args
        yield ast.Call(node.func, [condition, no, yes], node.keywords)
    if name in ("load", "store") and "mask" in given:
        yield ast.Call(node.func, node.args, [k for k in node.keywords if k.arg not in ("mask", "other")])
    if name == "dot" and (len(node.args) > 2 or "acc" in given):
        yield ast.Call(node.func, node.args[:2], [k for k in node.keywords if k.arg != "acc"])


class Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def replaced(tree: ast.Module, old: ast.AST, new: ast.AST) -> ast.Module:
    """A copy of the tree with the one node exchanged."""
    memo: dict[int, object] = {}
    copied = copy.deepcopy(tree, memo)
    changed: ast.Module = Replace(memo[id(old)], copy.deepcopy(new)).visit(copied)  # type: ignore[arg-type, assignment]
    return changed
