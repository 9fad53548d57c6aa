"""``python -m tools.mutate evse/core/gate.py tests/core/test_gate.py ...``: change the code, expect the tests to notice.

Flips comparisons, boolean operators, signs of arithmetic and small constants, one at a time, in a copy of the tree, and
runs the named tests against each mutant. Survivors are printed with their line: each is killed by a test or explained.
"""

from __future__ import annotations

import ast
import copy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("evse", "tests", "profiles", "docs", "pyproject.toml")
COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
}  # fmt: skip


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line, what was changed, new source)."""
    tree = ast.parse(source)
    for index, node in enumerate(ast.walk(tree)):
        for what, change in _changes(node):
            other = copy.deepcopy(tree)
            target = list(ast.walk(other))[index]
            change(target)
            yield getattr(node, "lineno", 0), what, ast.unparse(ast.fix_missing_locations(other))


def _changes(node: ast.AST) -> Iterator[tuple[str, object]]:  # type: ignore[misc]
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in COMPARE:
        new = COMPARE[type(node.ops[0])]
        yield f"{type(node.ops[0]).__name__} -> {new.__name__}", lambda n: setattr(n, "ops", [new()])
    elif isinstance(node, ast.BoolOp):
        new_op = ast.Or if isinstance(node.op, ast.And) else ast.And
        yield f"{type(node.op).__name__} -> {new_op.__name__}", lambda n: setattr(n, "op", new_op())
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        arithmetic = ARITHMETIC[type(node.op)]
        yield f"{type(node.op).__name__} -> {arithmetic.__name__}", lambda n: setattr(n, "op", arithmetic())
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield f"{node.value} -> {not node.value}", lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield f"{node.value} -> {node.value + 1}", lambda n: setattr(n, "value", n.value + 1)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "not removed", lambda n: setattr(n, "op", ast.UAdd()) or setattr(n, "operand", ast.Call(ast.Name("bool", ast.Load()), [n.operand], []))


def main() -> int:
    """Command line: the file to change, then the tests."""
    file, tests = sys.argv[1], sys.argv[2:]
    source = (ROOT / file).read_text(encoding="utf-8")
    killed, survivors = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for part in PARTS:
            at = ROOT / part
            if at.is_dir():
                shutil.copytree(at, Path(folder) / part, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
            else:
                shutil.copy(at, Path(folder) / part)
        target = Path(folder) / file
        for line, what, text in mutants(source):
            target.write_text(text, encoding="utf-8")
            done = subprocess.run(
                [sys.executable, "-B", "-m", "pytest", "-x", "-q", *tests], cwd=folder, capture_output=True, check=False
            )
            if done.returncode == 0:
                survivors.append(f"{file}:{line}: {what}: {source.splitlines()[line - 1].strip()}")
            else:
                killed += 1
    for survivor in survivors:
        print(survivor)
    print(f"{killed} of {killed + len(survivors)} mutants killed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
