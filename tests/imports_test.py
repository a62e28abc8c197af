"""Which way imports run, and no circle."""

import ast
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]
COMMANDS = {
    "tfxml.train",
    "tfxml.evaluate",
    "tfxml.predict",
    "tfxml.export.__main__",
    "tfxml.merge",
    "tfxml.plan",
    "tfxml.grow",
    "tfxml.prepare",
    "tfxml.download",
    "tfxml.serve_data",
}
FOR_ALL = {"tfxml", "tfxml.cpu.compiled", "tfxml.data.inputs"}
# What each room may import, besides itself and these.
ALLOWED = {
    "strategies": set(),
    "tfxml.data": set(),
    "tfxml.mach": set(),
    "tfxml.models": {"tfxml.mach"},
    "tfxml.host": {"tfxml.mach", "tfxml.models"},
    "tfxml.evaluation": {
        "strategies",
        "tfxml.data",
        "tfxml.host",
        "tfxml.models",
    },
    "tfxml.training": {"tfxml.data", "tfxml.models"},
}


def _modules():
    for package in ("tfxml", "strategies"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(p for p in parts if p != "__init__"), path


def _imports(path):
    """Returns the modules of ours that a file imports."""
    names = {name for name, _ in _modules()}
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in names else node.module)
    return found & names


def _room(module):
    rooms = [room for room in ALLOWED if f"{module}.".startswith(f"{room}.")]
    return rooms[0] if rooms else None


def test_rooms_import_only_what_they_may():
    wrong = [
        f"{module} imports {imported}"
        for module, path in _modules()
        if (room := _room(module))
        for imported in _imports(path) - FOR_ALL
        if _room(imported) not in ALLOWED[room] | {room}
    ]
    assert not wrong


def test_nothing_imports_a_command():
    wrong = [
        f"{module} imports {imported}"
        for module, path in _modules()
        for imported in _imports(path) & COMMANDS
    ]
    assert not wrong


def test_no_import_runs_in_a_circle():
    graph = {module: _imports(path) for module, path in _modules()}
    done = set()

    def visit(module, trail):
        assert module not in trail, f"circle: {' -> '.join([*trail, module])}"
        if module in done:
            return
        for imported in graph[module] - {module}:
            visit(imported, [*trail, module])
        done.add(module)

    for module in graph:
        visit(module, [])
