"""All commands under one name: `tfxml train ...`, `tfxml predict ...`."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import pathlib
import runpy
import sys

from tfxml.run import command_door

# In the order in which they are used.
COMMANDS = (
    "train",
    "probe",
    "evaluate",
    "calibrate",
    "diagnose",
    "report",
    "predict",
    "export",
    "prepare",
    "download",
    "plan",
    "grow",
    "drop",
    "rerank",
    "merge",
    "serve",
    "sweep",
    "serve_data",
    "doctor",
)


def about(name: str) -> str:
    """Returns the first sentence on a command, without importing it."""
    spec = importlib.util.find_spec(f"tfxml.{name}")
    if spec is None or spec.origin is None:
        raise ValueError(f"`name` must be one of {COMMANDS}. Received: {name=}")
    path = pathlib.Path(spec.origin)
    if spec.submodule_search_locations:  # a package, whose command is beside
        path = path.with_name("__main__.py")
    doc = ast.get_docstring(ast.parse(path.read_text())) or ""
    return doc.split(":")[0].split("\n\n")[0]


def usage() -> str:
    """Returns the list of all commands."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {about(name)}" for name in COMMANDS]
    return "\n".join(
        [
            "usage: tfxml COMMAND [--flag=value ...]",
            "",
            *lines,
            "",
            "tfxml COMMAND --help lists the flags of a command.",
        ]
    )


def run() -> None:
    """Runs the command that is named first, as `python -m` does."""
    name = sys.argv[1].replace("-", "_") if len(sys.argv) > 1 else ""
    if name in ("", "__help", "_h", "help"):
        command_door.run(lambda: print(usage()))
        sys.exit(0 if name else 1)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        maybe = f". Did you mean {near[0]}?" if near else ";"
        sys.stderr.write(
            f"FATAL there is no command {sys.argv[1]}{maybe} `tfxml --help` "
            "lists them\n"
        )
        sys.exit(1)
    sys.argv = [f"tfxml {name}", *sys.argv[2:]]
    runpy.run_module(f"tfxml.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    run()
