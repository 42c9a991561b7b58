"""Every small fault that one slip of the hand could put into a module: a mutant each.

`mutants_of` reads source text and names the mutants, `hunt` runs the tests against them. What a person alone reads is left
alone: texts with a blank in them, f-strings, docstrings; so are annotations, decorators and imports, which types and import
contracts watch over.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
SUMS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
TWINS = {"any": "all", "all": "any", "min": "max", "max": "min"}
OPTIONAL = frozenset({"get", "next", "getattr"})
"""Calls whose last argument may be left out."""
Displays = ast.Tuple | ast.List | ast.Set


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one fault: bytes `start` to `end` of its source become `new`.

    `lines` are the first and last line that it changes; `inside` is whether that code runs only when a function is called.
    """

    module: str
    lines: tuple[int, int]
    inside: bool
    start: int
    end: int
    new: str
    was: str
    becomes: str

    def text(self, source: str) -> str:
        """The module's source with the fault in it."""
        raw = source.encode()
        return (raw[: self.start] + self.new.encode() + raw[self.end :]).decode()


def mutants_of(module: str, source: str) -> tuple[Mutant, ...]:
    """All mutants of a module, in the order of their places; each can be compiled, and no two are alike."""
    found = _Finder(module, source)
    found.visit(ast.parse(source))
    return tuple({(m.start, m.end, m.new): m for m in sorted(found.mutants, key=lambda m: (m.start, m.end))}.values())


class _Finder(ast.NodeVisitor):
    """Walks through a module and collects its mutants."""

    def __init__(self, module: str, source: str) -> None:
        self.module, self.raw, self.mutants = module, source.encode(), list[Mutant]()
        self.starts = [0]
        for row in self.raw.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(row))
        self.depth = 0

    # --- where we are -------------------------------------------------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        self._within(node.body)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.depth += 1
        self.visit(node.body)
        self.depth -= 1

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for child in node.body:
            self.visit(child)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Import(self, node: ast.Import) -> None:
        """Left alone."""

    visit_ImportFrom = visit_Import  # type: ignore[assignment]

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Left alone: for people."""

    def _within(self, body: list[ast.stmt]) -> None:
        self.depth += 1
        for child in body:
            self.visit(child)
        self.depth -= 1

    # --- what may go wrong there --------------------------------------------------------------------------------------

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Raise) and node.exc is not None and "NotImplementedError" in ast.unparse(node.exc):
            return
        for kind, slips in SLIPS:
            if isinstance(node, kind):
                for old, new in slips(node):
                    self._add(old, new)
        super().visit(node)

    def _add(self, old: ast.expr | ast.stmt | ast.keyword, new: str) -> None:
        assert old.end_lineno is not None
        assert old.end_col_offset is not None
        start = self.starts[old.lineno - 1] + old.col_offset
        end = self.starts[old.end_lineno - 1] + old.end_col_offset
        first, last = self.starts[old.lineno - 1], self.starts[old.end_lineno]
        was, becomes = self.raw[first:last], self.raw[first:start] + new.encode() + self.raw[end:last]
        told = (" ".join(text.decode().split()) for text in (was, becomes))
        self.mutants.append(Mutant(self.module, (old.lineno, old.end_lineno), self.depth > 0, start, end, new, *told))


Slips = Iterator[tuple[ast.expr | ast.stmt | ast.keyword, str]]


def _compared(node: ast.Compare) -> Slips:
    for n, op in enumerate(node.ops):
        for other in COMPARISONS[type(op)]:
            yield node, _changed(node, ops=[*node.ops[:n], other(), *node.ops[n + 1 :]])
        if isinstance(op, ast.In | ast.NotIn) and isinstance(node.comparators[n], ast.Tuple):
            yield from _shorter(node.comparators[n])


def _joined(node: ast.BoolOp) -> Slips:
    yield node, f"({_changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())})"
    for n in range(len(node.values)):
        rest = node.values[:n] + node.values[n + 1 :]
        yield node, f"({_changed(node, values=rest) if len(rest) > 1 else ast.unparse(rest[0])})"


def _denied(node: ast.UnaryOp) -> Slips:
    if isinstance(node.op, ast.Not | ast.USub):
        yield node, f"({ast.unparse(node.operand)})"


def _asked(node: ast.If | ast.IfExp | ast.While) -> Slips:
    yield from _reversed(node.test)


def _filtered(node: ast.comprehension) -> Slips:
    for test in node.ifs:
        yield from _reversed(test)
        yield test, "True"


def _reversed(test: ast.expr) -> Slips:
    """The other way round; a comparison or a `not` is turned round by its own slip."""
    if not isinstance(test, ast.Compare | ast.UnaryOp):
        yield test, f"(not ({ast.unparse(test)}))"


def _valued(node: ast.Constant) -> Slips:
    value = node.value
    if isinstance(value, bool):
        yield node, str(not value)
    elif isinstance(value, int | float):
        yield node, f"({value + 1})"
    elif isinstance(value, str) and value and not any(c.isspace() for c in value):
        yield node, repr(f"XX{value}")


def _summed(node: ast.BinOp) -> Slips:
    if type(node.op) in SUMS:
        yield node, f"({_changed(node, op=SUMS[type(node.op)]())})"


def _returned(node: ast.Return) -> Slips:
    if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        yield node.value, "None"


def _said(node: ast.Expr) -> Slips:
    """Left undone; a generator stays one."""
    value = node.value
    if isinstance(value, ast.Yield | ast.YieldFrom):
        yield node, f"() if True else ({ast.unparse(value)})"
    elif isinstance(value, ast.Call):
        yield node, "pass"


def _left(node: ast.Raise | ast.Break | ast.Continue | ast.AugAssign) -> Slips:
    yield node, "pass"


def _called(node: ast.Call) -> Slips:
    if isinstance(node.func, ast.Name) and node.func.id in TWINS:
        yield node.func, TWINS[node.func.id]
    for keyword in node.keywords:
        if keyword.arg is not None:
            yield node, _changed(node, keywords=[k for k in node.keywords if k is not keyword])
    if len(node.args) > 1 and ast.unparse(node.func).rpartition(".")[2] in OPTIONAL:
        yield node, _changed(node, args=node.args[:-1])


def _listed(node: Displays) -> Slips:
    """One less. A tuple without a star is a record, where one less would be no slip; for tables there is `_tabled`."""
    if not isinstance(node, ast.Tuple) or any(isinstance(e, ast.Starred) for e in node.elts):
        yield from _shorter(node)


def _tabled(node: ast.Assign | ast.AnnAssign) -> Slips:
    if isinstance(node.value, ast.Tuple):
        yield from _shorter(node.value)


def _shorter(node: Displays) -> Slips:
    if len(node.elts) > 1 and isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        for n in range(len(node.elts)):
            yield node, _changed(node, elts=node.elts[:n] + node.elts[n + 1 :])


def _mapped(node: ast.Dict) -> Slips:
    for n in range(len(node.keys)):
        yield node, _changed(node, keys=node.keys[:n] + node.keys[n + 1 :], values=node.values[:n] + node.values[n + 1 :])


def _changed(node: ast.expr, **fields: object) -> str:
    changed = copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return ast.unparse(changed)


SLIPS: tuple[tuple[type[ast.AST], Callable[..., Slips]], ...] = (
    (ast.Compare, _compared),
    (ast.BoolOp, _joined),
    (ast.UnaryOp, _denied),
    (ast.If, _asked),
    (ast.IfExp, _asked),
    (ast.While, _asked),
    (ast.comprehension, _filtered),
    (ast.Constant, _valued),
    (ast.BinOp, _summed),
    (ast.Return, _returned),
    (ast.Expr, _said),
    (ast.Raise, _left),
    (ast.Break, _left),
    (ast.Continue, _left),
    (ast.AugAssign, _left),
    (ast.Call, _called),
    (ast.Tuple, _listed),
    (ast.List, _listed),
    (ast.Set, _listed),
    (ast.Assign, _tabled),
    (ast.AnnAssign, _tabled),
    (ast.Dict, _mapped),
)
