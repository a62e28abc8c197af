"""The map in docs/architecture.md is the tree, and its arrows all imports."""

import ast
import collections
import re

import documents
import pytest

ROOT = documents.ROOT
PAGE = (ROOT / "docs" / "architecture.md").read_text()
COMMANDS = "commands"
# Folders whose files lie apart in the map, as they are imported from below.
FILES_APART = ("tfxml/run/run_options.py",)


def _modules():
    """Returns the path of every module of ours, by its name."""
    paths = [
        path.relative_to(ROOT)
        for package in ("strategies", "tfxml")
        for path in (ROOT / package).rglob("*.py")
    ]
    return {
        ".".join(x for x in path.with_suffix("").parts if x != "__init__"): path
        for path in sorted(paths)
    }


MODULES = _modules()


def _imports(path):
    """Returns the modules of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
    return found & set(MODULES)


GRAPH = {module: _imports(path) for module, path in MODULES.items()}


def _table(header):
    """Returns a table of the page: rows of cells."""
    lines = PAGE[PAGE.index(header) :].splitlines()[2:]
    rows = [line.strip("| ").split(" | ") for line in lines]
    end = next((i for i, line in enumerate(lines) if not line), len(lines))
    return [[*row, ""][:3] for row in rows[:end]]


def _spans(cell):
    return re.findall(r"`([^`]+)`", cell)


# Packages in the page's order, each with those that it imports.
PACKAGES = {
    (_spans(package) or [package])[0]: set(_spans(imports))
    | ({COMMANDS} if COMMANDS in imports else set())
    for package, _, imports in _table("| package | contents | imports |")
}
# The subpackages, each with those of the same package that it imports.
INNER = {
    _spans(subpackage)[0]: set(_spans(imports))
    for subpackage, _, imports in _table("| subpackage | contents | imports |")
}


def _is_command(path):
    return re.search(r"^def run\(\)", (ROOT / path).read_text(), flags=re.M)


def _package(module):
    """Returns the package of a module: a file, a folder, or the commands."""
    path = MODULES[module]
    if path.as_posix() in FILES_APART:
        return path.as_posix()
    if len(path.parts) == 2 or path.name == "__main__.py":
        if path.parts[0] == "strategies":
            return "strategies/"
        return COMMANDS if _is_command(path) else path.as_posix()
    depth = 3 if path.parts[1] == "export" and len(path.parts) > 3 else 2
    return "/".join(path.parts[:depth]) + "/"


def _inner(module):
    """Returns the folder of a module below its package's first level."""
    folder = MODULES[module].parent.as_posix()
    return f"{folder}/" if folder.count("/") > 1 else None


def _arrows(place_of, modules=tuple(MODULES)):
    arrows = collections.defaultdict(set)
    for module in modules:
        here = place_of(module)
        arrows[here] |= {place_of(other) for other in GRAPH[module]} - {here}
    return dict(arrows)


def test_every_module_is_in_a_package():
    places = {_package(module) for module in MODULES}
    # A package without code of its own is the folder that holds its packages.
    assert places - {"tfxml/export/"} == set(PACKAGES)
    assert (ROOT / "tfxml/export/__init__.py").read_text().count("\n") <= 1


def test_the_arrows_of_the_map_are_the_imports():
    found = _arrows(_package)
    found.pop("tfxml/export/")
    assert found == PACKAGES


def test_arrows_run_upwards_in_the_map():
    seen = set()
    for package, imports in PACKAGES.items():
        assert imports <= seen, (package, imports - seen)
        seen.add(package)


def test_the_arrows_inside_of_packages_are_the_imports():
    """Between the folders of one package; all may import their parent."""
    inner = [module for module in MODULES if _inner(module)]
    arrows = _arrows(_inner, inner)
    beside = {
        here: {
            place
            for place in places
            if place and place.split("/")[1] == here.split("/")[1]
        }
        for here, places in arrows.items()
        if not here.startswith("tfxml/export/")  # packages of their own
    }
    assert beside == INNER


def test_nothing_but_the_public_face_imports_a_command():
    commands = {module for module in MODULES if _package(module) == COMMANDS}
    importers = {module for module in MODULES if GRAPH[module] & commands}
    assert importers <= {"tfxml.estimator"}


def test_no_import_runs_in_a_circle():
    done = set()

    def visit(module, trail):
        assert module not in trail, f"circle: {' -> '.join([*trail, module])}"
        if module in done:
            return
        for imported in GRAPH[module] - {module}:
            visit(imported, [*trail, module])
        done.add(module)

    for module in GRAPH:
        visit(module, [])


@pytest.mark.parametrize("kind", ["py", "cfg", "md"])
def test_no_file_name_occurs_twice(kind):
    folders = ("strategies", "tfxml", "tests", "benchmarks", "configs", "docs")
    paths = collections.defaultdict(list)
    for folder in folders:
        for path in (ROOT / folder).rglob(f"*.{kind}"):
            if path.name not in ("__init__.py", "__main__.py"):
                paths[path.name].append(path)
    assert not [same for same in paths.values() if len(same) > 1]
