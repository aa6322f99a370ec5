"""Mutants of a source file: copies with one small fault each, by fixed operators on the syntax tree.

========== ======================================================================================================
comparison ``<`` to ``<=`` or ``>=``, ``==`` to ``!=``, ``in`` to ``not in``, ``is`` to ``is not``, and the reverse
arithmetic ``+`` to ``-``, ``*`` to ``/``, ``//`` and ``%`` to ``*``, ``**`` to ``*``, ``&`` to ``|``, and the reverse
constant   a number ± 1 or × 2
boolean    ``True`` to ``False``, ``and`` to ``or``, a condition negated, and the reverse
negation   ``not``, ``~`` or ``-`` left out
keyword    a keyword argument of a call left out
default    the default of a parameter left out
return     nothing returned, or the first two of several in the wrong order
========== ======================================================================================================

Never mutated: docstrings, annotations, type aliases, decorators, imports, ``__all__``, assertions, messages (f-strings, ``raise``,
``value_error``, logs and warnings), and two keywords that no test on a CPU can miss: ``strict`` of ``zip``, itself an assertion,
and ``device``.
"""

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
ARITHMETIC: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
}
MESSAGES = {"value_error", "warn", "debug", "info", "warning", "error"}
KEPT_KEYWORDS = {"strict", "device"}
TYPES = {"Literal", "Callable", "Mapping", "Sequence"}


class Mutant(NamedTuple):
    """One fault: what stands between two places of a file is replaced."""

    line: int
    operator: str
    start: int
    """Place of the first byte that is replaced."""
    end: int
    text: str
    """What stands there instead."""

    def applied(self, source: str) -> str:
        """Return the source with the fault."""
        whole = source.encode()
        return (whole[: self.start] + self.text.encode() + whole[self.end :]).decode()


def mutants(source: str) -> list[list[Mutant]]:
    """Return the mutants of each place that can be mutated, in the order of the file."""
    visitor = _Visitor(source)
    visitor.visit(ast.parse(source))
    return [found for found in visitor.sites if found]


class _Visitor(ast.NodeVisitor):
    """Collects, per place, what may stand there instead."""

    def __init__(self, source: str) -> None:
        self.starts = [0]
        for line in source.encode().splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.sites: list[list[Mutant]] = []

    def _place(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def _add(self, node: ast.expr | ast.stmt, operator: str, texts: Iterator[str] | list[str]) -> None:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start, end = self._place(node.lineno, node.col_offset), self._place(node.end_lineno, node.end_col_offset)
        self.sites.append([Mutant(node.lineno, operator, start, end, text) for text in texts])

    def _replace(self, node: ast.expr | ast.stmt, operator: str, *changes: dict[str, object]) -> None:
        """Add copies of a node with other fields."""
        texts = []
        for fields in changes:
            changed = copy.copy(node)
            for name, value in fields.items():
                setattr(changed, name, value)
            text = ast.unparse(ast.fix_missing_locations(changed))
            texts.append(f"({text})" if isinstance(node, ast.expr) else text)
        self._add(node, operator, texts)

    # What is never mutated

    def _skip(self, node: ast.AST) -> None:
        pass

    visit_Import = visit_ImportFrom = visit_Raise = visit_Assert = visit_JoinedStr = visit_TypeAlias = visit_arg = _skip

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_Assign(self, node: ast.Assign) -> None:
        value = node.value
        is_alias = isinstance(value, ast.Subscript) and isinstance(value.value, ast.Name) and value.value.id in TYPES
        is_union = isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr) and ast.unparse(value)[0].isupper()
        if not (is_alias or is_union or ast.unparse(node.targets[0]) == "__all__"):
            self.visit(value)

    # What is mutated

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        parameters = node.args
        positional = [*parameters.posonlyargs, *parameters.args]
        first = len(positional) - len(parameters.defaults)
        with_default = [*zip(positional[first:], parameters.defaults, strict=True)][:1]  # the next ones must have one
        with_default += [(a, d) for a, d in zip(parameters.kwonlyargs, parameters.kw_defaults, strict=True) if d]
        for parameter, default in with_default:
            assert parameter.end_lineno is not None
            assert parameter.end_col_offset is not None
            assert default.end_lineno is not None
            assert default.end_col_offset is not None
            start = self._place(parameter.end_lineno, parameter.end_col_offset)
            end = self._place(default.end_lineno, default.end_col_offset)
            self.sites.append([Mutant(parameter.lineno, "default", start, end, "")])
        for part in [*parameters.defaults, *filter(None, parameters.kw_defaults), *node.body]:
            self.visit(part)

    def visit_Compare(self, node: ast.Compare) -> None:
        swaps = COMPARISONS[type(node.ops[0])]
        self._replace(node, "comparison", *({"ops": [swap(), *node.ops[1:]]} for swap in swaps))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in ARITHMETIC:
            self._replace(node, "arithmetic", {"op": ARITHMETIC[type(node.op)]()})
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if type(node.op) in ARITHMETIC:
            self._replace(node, "arithmetic", {"op": ARITHMETIC[type(node.op)]()})
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self._replace(node, "boolean", {"op": ast.Or() if isinstance(node.op, ast.And) else ast.And()})
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if not isinstance(node.op, ast.UAdd):
            self._add(node, "negation", [f"({ast.unparse(node.operand)})"])
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._add(node, "boolean", [str(not value)])
        elif isinstance(value, int | float):
            changed = [value + 1, value - 1, *([2 * value] if 2 * value not in (value, value + 1) else [])]
            self._add(node, "constant", [f"({number!r})" for number in changed if number != value])

    def visit_Call(self, node: ast.Call) -> None:
        name = getattr(node.func, "attr", getattr(node.func, "id", None))
        if name in MESSAGES:
            return
        for keyword in node.keywords:
            if keyword.arg and keyword.arg not in KEPT_KEYWORDS:
                rest = [other for other in node.keywords if other is not keyword]
                self._replace(node, "keyword", {"keywords": rest})
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg not in KEPT_KEYWORDS:
            self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> None:
        value = node.value
        if isinstance(value, ast.Tuple) and len(value.elts) > 1:
            first, second, *rest = value.elts
            swapped = ast.Tuple([second, first, *rest], ast.Load())
            self._replace(node, "return", {"value": None}, {"value": swapped})
        elif value is not None and not (isinstance(value, ast.Constant) and value.value is None):
            self._replace(node, "return", {"value": None})
        self.generic_visit(node)

    def _visit_conditional(self, node: ast.If | ast.While | ast.IfExp) -> None:
        self._negate(node.test)
        self.generic_visit(node)

    visit_If = visit_While = visit_IfExp = _visit_conditional

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self._negate(condition)
        self.generic_visit(node)

    def _negate(self, test: ast.expr) -> None:
        """Negate a condition, unless it is a comparison or a negation, which have operators of their own."""
        if not isinstance(test, ast.Compare | ast.UnaryOp | ast.NamedExpr):
            self._add(test, "boolean", [f"(not ({ast.unparse(test)}))"])
