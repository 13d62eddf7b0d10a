"""Where a defect can be planted, and which one: boundaries, signs, constants, quantifiers, joins, SQL, statements.

The ids of mutants, and which are drawn, depend on the code alone, so that runs can be compared. Not here: planting them
(`trial`).
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

ROOMS = ("contracts", "transforms", "pipeline", "engines", "storage/ledger")

_OPERATORS: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
_PAIRS = (
    *(("min", "max"), ("any", "all"), ("first", "last"), ("head", "tail"), ("is_null", "is_not_null")),
    *(("any_horizontal", "all_horizontal"), ("min_horizontal", "max_horizontal"), ("floor", "ceil")),
    *(("startswith", "endswith"), ("starts_with", "ends_with"), ("forward_fill", "backward_fill")),
    *(("is_first_distinct", "is_last_distinct"), ("union", "intersection"), ("lstrip", "rstrip"), ("sum", "max")),
)
_NAMES = {**dict(_PAIRS), **{new: old for old, new in reversed(_PAIRS)}}
_NAMES |= {"sorted": "list", "reversed": "list", "n_unique": "len"}
_KEYWORDS = {
    "closed": {"left": "both", "both": "left", "right": "both", "none": "both"},
    "side": {"left": "right", "right": "left"},
    "how": {"anti": "semi", "semi": "anti", "inner": "left", "left": "inner", "full": "left"},
    "keep": {"first": "last", "last": "first", "none": "first"},
}
_IS_SQL = re.compile(rb"(?is)\b(select|insert into|update|delete from)\b.*\b(from|values|set|where)\b")
_SQL = tuple(
    (re.compile(pattern.encode(), re.I), new)
    for pattern, new in (
        *((r"(?<= )<(?= )", "<="), (r"(?<= )<=(?= )", "<"), (r"(?<= )>(?= )", ">="), (r"(?<= )<>(?= )", "=")),
        *((r"\band is_current\b", ""), (r"\band not (?=is_)", "and "), (r"\bis null\b", "is not null")),
        *((r"\bis not null\b", "is null"), (r"\bmax(?=\()", "min"), (r"\bmin(?=\()", "max"), (r"\band\b", "or")),
        *((r"\bfor update\b", ""), (r"\bfor share\b", ""), (r"\bdesc\b", "asc"), (r"\bleft join\b", "join")),
        *((r"\bnot exists\b", "exists"), (r"\bon conflict do nothing", ""), (r"\bunion all\b", "union")),
    )
)
# Greater constants are sizes, such as that of a batch, and not boundaries.
_LARGEST = 64


@dataclass(frozen=True)
class Mutant:
    """Bytes of a file to be replaced.

    `lines` are those of the statement. `names` are what a statement of a module or class binds; empty inside a
    function, whose lines show which tests execute them.
    """

    id: str
    path: str
    line: int
    start: int
    end: int
    old: str
    new: str
    kind: str
    lines: tuple[int, ...]
    names: tuple[str, ...]

    def planted(self, source: bytes) -> bytes:
        """The file's content with the defect."""
        return source[: self.start] + self.new.encode() + source[self.end :]


@dataclass(frozen=True)
class _Scope:
    """The statement around a site, the functions and classes around that, and the names that the statement binds."""

    statement: ast.stmt
    path: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Edit:
    """A site: bytes that can be replaced, and by what."""

    start: int
    end: int
    kind: str
    new: tuple[str, ...]


def mutants(root: Path, package: str, seed: int, rooms: Sequence[str] = ROOMS) -> list[Mutant]:
    """One mutant for each site, in the order in which the seed draws them."""
    paths = sorted(path for room in rooms for path in (root / package / room).rglob("*.py"))
    files = (of_file(path.relative_to(root).as_posix(), path.read_bytes(), seed) for path in paths)
    return sorted(chain.from_iterable(files), key=lambda mutant: _draw(seed, mutant.id))


def of_file(path: str, source: bytes, seed: int) -> list[Mutant]:
    """The mutants of one file in its order. Moving lines does not change their ids."""
    known: Counter[tuple[str, ...]] = Counter()
    made = []
    for edit, scope in sorted(_Finder(source).sites, key=lambda site: site[0].start):
        old = source[edit.start : edit.end].decode()
        key = (path, *scope.path, edit.kind, old)
        known[key] += 1
        drawn = _draw(seed, *key, str(known[key]))
        new = edit.new[drawn % len(edit.new)]
        name = f"{_draw(0, *key, str(known[key]), new):x}"[-8:]
        line, lines = source.count(b"\n", 0, edit.start) + 1, _lines(scope.statement)
        mutant = Mutant(name, path, line, edit.start, edit.end, old, new, edit.kind, lines, scope.names)
        # Nearly any test fails without a result, so one in four of these is enough.
        if _compiles(mutant.planted(source)) and (edit.kind != "result" or drawn % 4 == 0):
            made.append(mutant)
    return made


def _draw(seed: int, *words: str) -> int:
    return int.from_bytes(sha256("\0".join([str(seed), *words]).encode()).digest())


def _compiles(source: bytes) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _lines(statement: ast.stmt) -> tuple[int, ...]:
    """The lines of a statement; of a compound one its head; of a function, for its defaults, its body."""
    assert statement.end_lineno is not None
    body: list[ast.stmt] | None = getattr(statement, "body", None)
    if body and isinstance(statement, ast.FunctionDef):
        return tuple(range(body[0].lineno, statement.end_lineno + 1))
    last = body[0].lineno - 1 if body else statement.end_lineno
    return tuple(range(statement.lineno, max(last, statement.lineno) + 1))


class _Finder:
    """Walks a module, and collects its sites."""

    def __init__(self, source: bytes) -> None:
        self.source = source
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.sites: list[tuple[_Edit, _Scope]] = []
        for statement in ast.parse(source).body:
            self._walk(statement, _Scope(statement, (), bound(statement)))

    def _walk(self, node: ast.AST, scope: _Scope) -> None:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            scope = replace(scope, path=(*scope.path, node.name))
        for kind, finder in _FINDERS.items():
            if isinstance(node, kind):
                self.sites += [(edit, scope) for edit in finder(self, node, scope)]
        for child in _code_in(node):
            self._walk(child, self._scope_of(child, node, scope))

    def _scope_of(self, child: ast.AST, parent: ast.AST, scope: _Scope) -> _Scope:
        if not isinstance(child, ast.stmt):
            return scope
        if isinstance(parent, ast.FunctionDef):
            return _Scope(child, scope.path, ())
        return _Scope(child, scope.path, (*scope.names, *bound(child)) if scope.names else ())

    def statement(self, node: ast.stmt, scope: _Scope) -> Iterator[_Edit]:
        """Statements of a function that can be removed."""
        if scope.names:
            return
        if isinstance(node, ast.Return) and node.value is not None:
            yield self._edit(node, "result", "return None")
        is_call = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        if isinstance(node, ast.Raise | ast.AugAssign | ast.Continue) or is_call:
            yield self._edit(node, "statement", "pass")

    def compare(self, node: ast.Compare, _scope: _Scope) -> Iterator[_Edit]:
        sides = [node.left, *node.comparators]
        for left, operator, right in zip(sides, node.ops, node.comparators, strict=False):
            yield from self._operator(left, operator, right)

    def bool(self, node: ast.BoolOp, _scope: _Scope) -> Iterator[_Edit]:
        for left, right in pairwise(node.values):
            yield from self._operator(left, node.op, right)

    def binary(self, node: ast.BinOp, scope: _Scope) -> Iterator[_Edit]:
        is_type = isinstance(node.op, ast.BitOr) and scope.names
        is_text = any(isinstance(side, ast.JoinedStr | ast.List | ast.Tuple) for side in (node.left, node.right))
        if not is_type and not is_text:
            yield from self._operator(node.left, node.op, node.right)

    def _operator(self, left: ast.expr, operator: ast.AST, right: ast.expr) -> Iterator[_Edit]:
        begin, end = self._span(left)[1], self._span(right)[0]
        old, new = _OPERATORS.get(type(operator), ("", ""))
        if old and (match := re.search(re.escape(old).encode(), self.source[begin:end])):
            yield _Edit(begin + match.start(), begin + match.end(), "operator", (new,))

    def unary(self, node: ast.UnaryOp, _scope: _Scope) -> Iterator[_Edit]:
        if isinstance(node.op, ast.Not | ast.Invert):
            yield _Edit(self._span(node)[0], self._span(node.operand)[0], "negation", ("",))

    def constant(self, node: ast.Constant, _scope: _Scope) -> Iterator[_Edit]:
        value = node.value
        if isinstance(value, bool):
            yield self._edit(node, "constant", str(not value))
        elif isinstance(value, int | float) and abs(value) < _LARGEST:
            yield self._edit(node, "constant", str(value + 1), str(value - 1))

    def call(self, node: ast.Call, _scope: _Scope) -> Iterator[_Edit]:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in _NAMES:
            end = self._span(node.func)[1]
            yield _Edit(end - len(name), end, "call", (_NAMES[name],))
        for keyword in node.keywords:
            old = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            if new := _KEYWORDS.get(keyword.arg or "", {}).get(str(old)):
                yield self._edit(keyword.value, "keyword", f'"{new}"')

    def sql(self, node: ast.expr, _scope: _Scope) -> Iterator[_Edit]:
        begin, end = self._span(node)
        text = self.source[begin:end]
        for pattern, new in _SQL if _IS_SQL.search(text) else ():
            for match in pattern.finditer(text):
                yield _Edit(begin + match.start(), begin + match.end(), "sql", (new,))

    def _edit(self, node: ast.stmt | ast.expr, kind: str, *new: str) -> _Edit:
        return _Edit(*self._span(node), kind, new)

    def _span(self, node: ast.stmt | ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self.starts[node.lineno - 1] + node.col_offset, self.starts[node.end_lineno - 1] + node.end_col_offset


_FINDERS: dict[Any, Any] = {
    ast.stmt: _Finder.statement,
    ast.Compare: _Finder.compare,
    ast.BoolOp: _Finder.bool,
    ast.BinOp: _Finder.binary,
    ast.UnaryOp: _Finder.unary,
    ast.Constant: _Finder.constant,
    ast.Call: _Finder.call,
    (ast.Constant, ast.JoinedStr): _Finder.sql,
}


def _code_in(node: ast.AST) -> Iterator[ast.AST]:
    """Children that can have sites: no types, docstrings, decorators, texts or sizes such as 4 * 1024."""
    types: list[ast.expr] = []
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"isinstance", "cast"}:
        types = node.args[1:] if node.func.id == "isinstance" else node.args[:1]
    is_size = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Pow | ast.LShift)
    is_text = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Call)
    if isinstance(node, ast.If) and "'__name__'" in ast.dump(node.test):
        return
    for field, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            is_number = is_size and isinstance(child, ast.Constant)
            is_kept = field in _NO_CODE or child in types or is_number or (is_text and isinstance(child, ast.Constant))
            if isinstance(child, ast.AST) and not is_kept and not isinstance(node, ast.JoinedStr):
                yield child


_NO_CODE = {"annotation", "returns", "decorator_list", "bases", "type_params"}


def bound(statement: ast.stmt) -> tuple[str, ...]:
    """The names that a statement of a module or class binds."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return (statement.name,)
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    names = tuple(node.id for target in targets if target for node in ast.walk(target) if isinstance(node, ast.Name))
    return names or ("",)


def uses(root: Path, package: str, names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Files and lines of functions that use these names, or names that are defined by them."""
    trees = [(path, ast.parse(path.read_bytes())) for path in sorted((root / package).rglob("*.py"))]
    known, new = set[str](), set(names) - {""}
    while new:
        known, asked, new = known | new, new, set()
        for path, tree in trees:
            for statement in tree.body:
                for node, name in _mentioned(statement):
                    if name in asked and isinstance(statement, ast.FunctionDef | ast.ClassDef):
                        yield path.relative_to(root).as_posix(), node.lineno
                    elif name in asked:
                        new |= set(bound(statement)) - known - {""}


def _mentioned(statement: ast.stmt) -> Iterator[tuple[ast.expr, str]]:
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node, node.id
        elif isinstance(node, ast.Attribute):
            yield node, node.attr
