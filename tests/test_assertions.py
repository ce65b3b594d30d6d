"""No test passes without having checked anything."""

import ast

from where import ROOT

SAYS_SO = ("raises", "warns", "fail")
"""Of pytest; every function whose name begins with assert counts too."""


def asserts(node: ast.AST, helpers: set[str]) -> bool:
    """True where a statement or a call inside, also of a helper that asserts, can fail the test."""
    for part in ast.walk(node):
        if isinstance(part, ast.Assert):
            return True
        if isinstance(part, ast.Call):
            plain = isinstance(part.func, ast.Name)
            name = getattr(part.func, "id" if plain else "attr", "")
            if name in SAYS_SO or name.startswith("assert") or (plain and name in helpers):
                return True
    return False


def test_every_test_asserts():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "tests").rglob("*.py")}
    functions = [
        (path, node) for path, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    ]
    helpers: set[str] = set()
    while found := {node.name for _, node in functions if asserts(node, helpers)} - helpers:
        helpers |= found
    tests = [(path, node) for path, node in functions if node.name.startswith("test_")]
    assert len(tests) > 1000
    assert [f"{path}:{node.lineno} {node.name}" for path, node in tests if not asserts(node, helpers)] == []
