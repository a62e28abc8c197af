"""Public functions say what they take and return; mypy looks at all of them."""

import ast
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGES = ("strategies", "tfxml")
FILES = [
    path.relative_to(ROOT)
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
]
# What callers call without naming it.
CALLED = ("__init__", "__call__")


def _functions(tree, is_in_class=False):
    """Yields the public functions of a module or class, and if methods."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from _functions(node, is_in_class=True)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not node.name.startswith("_") or node.name in CALLED:
                yield node, is_in_class


def _bare(node, is_in_class):
    """Returns the names of what a function leaves without annotation."""
    arguments = node.args.posonlyargs + node.args.args
    is_static = any(
        isinstance(decorator, ast.Name) and decorator.id == "staticmethod"
        for decorator in node.decorator_list
    )
    if is_in_class and not is_static:
        arguments = arguments[1:]  # self or cls
    arguments = arguments + node.args.kwonlyargs
    if node.args.vararg:
        arguments.append(node.args.vararg)
    names = [a.arg for a in arguments if a.annotation is None]
    if node.returns is None and node.name != "__init__":
        names.append("return")
    return names


@pytest.mark.parametrize("path", FILES, ids=str)
def test_public_functions_are_annotated(path):
    tree = ast.parse((ROOT / path).read_text())
    bare = {
        f"{node.name}, line {node.lineno}": names
        for node, is_in_class in _functions(tree)
        if (names := _bare(node, is_in_class))
    }
    assert not bare


def test_the_walk_finds_what_is_bare():
    tree = ast.parse(
        "def f(a: int, b, *c, d, **e): ...\n"
        "class A:\n"
        "    def __init__(self, a): ...\n"
        "    def g(self) -> None: ...\n"
        "    @staticmethod\n"
        "    def h(a) -> None: ...\n"
        "    def _i(self, a): ...\n"
    )
    found = {
        node.name: _bare(node, inside) for node, inside in _functions(tree)
    }
    assert found == {
        "f": ["b", "d", "c", "return"],
        "__init__": ["a"],
        "g": [],
        "h": ["a"],
    }


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is of 3.11")
def test_mypy_leaves_out_none_of_our_modules():
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    mypy = settings["tool"]["mypy"]
    assert sorted(mypy["files"]) == sorted([*PACKAGES, "benchmarks"])
    assert mypy["check_untyped_defs"]
    allowed = {"files", "check_untyped_defs", "overrides"}
    assert all(key in allowed or key.startswith("warn_") for key in mypy)
    (override,) = mypy["overrides"]
    assert set(override) == {"module", "ignore_missing_imports"}
    for module in override["module"]:
        assert not module.startswith((*PACKAGES, "*")), module


@pytest.mark.parametrize("path", FILES, ids=str)
def test_ignored_errors_have_a_code_and_a_reason(path):
    for line in (ROOT / path).read_text().splitlines():
        if "type: ignore" in line:
            assert re.search(r"# type: ignore\[[a-z-]+\]  # \w", line), line
