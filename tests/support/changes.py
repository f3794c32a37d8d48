"""Every change of one thing that can be made to a module: of an operator, a constant, an argument, a statement."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Div,
    ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
COMPARISONS = {  # the boundary moved, the comparison turned
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
PAIRS = ("min max", "amin amax", "argmin argmax", "minimum maximum", "mean sum", "all any", "zeros_like ones_like")
PAIRS = (*PAIRS, "isna notna", "rand randn", "floor ceil", "left inner", "std var", "count size", "True False")
SWAPS = {a: b for pair in PAIRS for a, b in (pair.split(), pair.split()[::-1])}
LIBRARIES = ("torch", "np", "pd", "F")


@dataclass(frozen=True)
class Place:
    """Where a node is in its tree."""

    parent: ast.AST
    field: str
    index: int | None
    node: ast.AST
    line: int
    in_function: bool

    def put(self, other: ast.AST | None) -> Any:
        """Put another node, or none, in the place of this one; returns what `restore` wants."""
        before = getattr(self.parent, self.field)
        after = other
        if self.index is not None:
            after = [*before[: self.index], *([other] if other else []), *before[self.index + 1 :]]
        setattr(self.parent, self.field, after)
        return before


@dataclass(frozen=True)
class Change:
    """A module's code with one change."""

    module: str
    line: int
    source: str  # the line as it is
    text: str  # before -> after
    in_function: bool
    code: CodeType


def is_left_out(node: ast.AST, parent: ast.AST) -> bool:
    """Whether a node says nothing to the machine: docstrings, imports, texts of messages, names of types."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    is_alias = isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript) and isinstance(parent, ast.Module)
    return is_alias or isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom)


def walk(node: ast.AST, line: int = 0, in_function: bool = False) -> Iterator[Place]:
    """All places of a tree that can be changed."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns") or isinstance(node, ast.Raise):
            continue
        for index, child in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(child, ast.AST) and not is_left_out(child, node):
                here = getattr(child, "lineno", line)
                inside = in_function or (isinstance(node, ast.FunctionDef) and field == "body")
                yield Place(node, field, index if isinstance(value, list) else None, child, here, inside)
                yield from walk(child, here, inside)


def vary(place: Place) -> Iterator[ast.AST | None]:
    """What a node is changed into; None: it is deleted."""
    node = place.node
    if place.field in ("test", "ifs"):
        yield from (ast.Constant(False), *([] if isinstance(place.parent, ast.While) else [ast.Constant(True)]))
    match node:
        case ast.BinOp(left, op, right) if type(op) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.UnaryOp(_, operand):
            yield operand
        case ast.Compare(left, ops, comparators):
            for number, op in enumerate(ops):
                for other in COMPARISONS[type(op)]:
                    yield ast.Compare(left, [*ops[:number], other(), *ops[number + 1 :]], comparators)
        case ast.BoolOp(op, values):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), values)
        case ast.Constant(value):
            yield from vary_constant(value, place)
        case ast.Slice(lower, upper, step):
            yield from ([ast.Slice(None, upper, step)] if lower else [])
            yield from ([ast.Slice(lower, None, step)] if upper else [])
        case ast.Attribute(value, attr) if attr in SWAPS:
            yield ast.Attribute(value, SWAPS[attr], node.ctx)
        case ast.Name(name) if name in SWAPS:
            yield ast.Name(SWAPS[name], node.ctx)
        case ast.Call():
            yield from vary_call(node)
        case ast.keyword():
            yield None
        case ast.stmt():
            yield from vary_statement(node)


def vary_constant(value: Any, place: Place) -> Iterator[ast.AST]:
    """Other constants."""
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, str):
        yield ast.Constant(SWAPS.get(value, f"{value}x"))
    elif isinstance(value, int) and isinstance(place.parent, ast.keyword) and place.parent.arg in ("dim", "axis"):
        yield ast.Constant(1 - value)
    elif isinstance(value, int | float):
        yield ast.Constant(value + 1 if isinstance(value, int) or not value else 2 * value)


def vary_call(call: ast.Call) -> Iterator[ast.AST]:
    """A call left out, for what it was called on or given, and with two arguments exchanged."""
    match call.func, call.args:
        case ast.Attribute(ast.Name(name)), _ if name in LIBRARIES:
            yield from call.args[:1]
        case ast.Attribute(value), _:
            yield value
        case ast.Name("abs"), _:
            yield call.args[0]
    is_symmetric = isinstance(call.func, ast.Attribute) and call.func.attr in ("minimum", "maximum")
    texts = {ast.unparse(each) for each in call.args[:2] if not isinstance(each, ast.Starred)}
    if len(texts) == 2 and not is_symmetric:
        yield ast.Call(call.func, [call.args[1], call.args[0], *call.args[2:]], call.keywords)


def vary_statement(node: ast.stmt) -> Iterator[ast.AST]:
    """A statement left out, another value returned, a context not entered."""
    match node:
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Assign([ast.Subscript()]):
            if not isinstance(getattr(node, "value", None), ast.Yield):
                yield ast.Pass()
        case ast.Return(value) if value:
            yield ast.Return(ast.Constant(None))
            yield ast.Return(ast.UnaryOp(ast.USub(), value))
        case ast.With(items, body):
            for item in items:
                rest = [each for each in items if each is not item]
                yield ast.With(rest, body) if rest else ast.If(ast.Constant(True), body, [])


def list_changes(module: str) -> Iterator[Change]:
    """All changes of a module, each compiled."""
    source = (ROOT / module).read_text()
    tree, lines = ast.parse(source), source.splitlines()
    for place in walk(tree):
        for other in vary(place):
            other = other and ast.fix_missing_locations(ast.copy_location(other, place.node))
            head, *_ = ast.unparse(place.node).splitlines()
            text = f"{head} -> {ast.unparse(other).splitlines()[0] if other else '(left out)'}"
            before = place.put(other)
            code = compile(tree, str(ROOT / module), "exec")
            setattr(place.parent, place.field, before)
            yield Change(module, place.line, lines[place.line - 1].strip(), text, place.in_function, code)
