"""What the strategies import: no tfxml, and TensorFlow only where needed."""

import ast
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
WITHOUT_TENSORFLOW = (
    "addresses",
    "cluster",
    "commands",
    "strategy_errors",
    "guardian",
    "launch",
    "strategy_options",
    "processes",
    "resolvers",
    "tpu",
)


def test_these_import_no_tensorflow():
    names = ", ".join(f"strategies.{name}" for name in WITHOUT_TENSORFLOW)
    script = f"import sys, {names}; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    packages = {name.split(".")[0] for name in found.stdout.split()}
    assert packages & {"strategies", "tensorflow", "keras", "tfxml"} == {
        "strategies"
    }


def test_strategies_import_no_tfxml():
    paths = list((ROOT / "strategies").glob("*.py"))
    assert {path.stem for path in paths} > set(WITHOUT_TENSORFLOW)
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            else:
                continue
            assert "tfxml" not in {name.split(".")[0] for name in names}
