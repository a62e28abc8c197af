"""Runs the notebooks and keeps their outputs.

    python docs/notebook_outputs.py [notebooks/quick_start.ipynb ...]

Each is run in a process and a folder of its own, cell by cell, without Jupyter;
in cells of Python a line that begins with `!` is a command of the shell.
Cells tagged `colab` install tfxml there, and are left as they are. Notebooks
write below their folder alone, so no path of the machine is kept.
"""

from __future__ import annotations

import ast
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
TAG = "colab"


def is_run(cell: dict) -> bool:
    """Tells whether a cell is code for every machine."""
    return cell["cell_type"] == "code" and TAG not in cell["metadata"].get(
        "tags", []
    )


def outputs_of(notebook: dict, folder: pathlib.Path | str) -> list[list[dict]]:
    """Returns the outputs of the cells that are run, in nbformat's form.

    Args:
        notebook: as JSON.
        folder: where it is run.

    Raises:
        RuntimeError: with what a cell or a command in it said, if it failed.
    """
    cells = ["".join(c["source"]) for c in notebook["cells"] if is_run(c)]
    # Commands in cells find this Python, and every process this project.
    places = [str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join(places),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "80",
    }
    done = subprocess.run(
        [sys.executable, __file__, "--cells"],
        cwd=folder,
        env=environment,
        input=json.dumps(cells),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout)


def run_cells(cells: list[str]) -> list[list[dict]]:
    """Returns the outputs of cells, run one after the other here."""
    names: dict[str, Any] = {"__name__": "__main__", "_shell": _shell}
    return [
        _captured(lambda cell=cell: _run(cell, names), number)
        for number, cell in enumerate(cells, 1)
    ]


def _shell(command: str) -> None:
    subprocess.run(command, shell=True, check=True, stdin=subprocess.DEVNULL)


def _run(cell: str, names: dict[str, Any]) -> Any:
    """Runs a cell; returns the value of an expression that it ends with."""
    code = re.sub(
        r"^!((?:.*\\\n)*.*)$",
        lambda match: f"_shell({match[1]!r})",
        cell,
        flags=re.M,
    )
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    if not isinstance(last, ast.Expr):
        return None
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)


def _captured(call: Callable[[], Any], number: int) -> list[dict]:
    """Returns what a call wrote and returned; its processes' words too."""
    outputs: list[dict] = []
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        files = {1: out, 2: err}
        kept = {fd: os.dup(fd) for fd in files}
        for fd, file in files.items():
            os.dup2(file.fileno(), fd)
        try:
            value = call()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            texts = []
            for fd, file in files.items():
                os.dup2(kept[fd], fd)
                os.close(kept[fd])
                file.seek(0)
                texts.append(file.read().decode())
            if sys.exc_info()[0]:
                sys.stderr.write("".join(texts))
    for name, text in zip(("stdout", "stderr"), texts, strict=True):
        if text:
            lines = text.splitlines(keepends=True)
            outputs.append(
                {"name": name, "output_type": "stream", "text": lines}
            )
    if value is not None:
        outputs.append(_result(value, number))
    return outputs


def _result(value: Any, number: int) -> dict:
    data = {"text/plain": repr(value).splitlines(keepends=True)}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = value._repr_html_().splitlines(keepends=True)
    return {
        "data": data,
        "execution_count": number,
        "metadata": {},
        "output_type": "execute_result",
    }


def main(words: list[str]) -> None:
    if words == ["--cells"]:
        json.dump(run_cells(json.load(sys.stdin)), sys.stdout)
        return
    paths = [pathlib.Path(word) for word in words]
    for path in paths or sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = json.loads(path.read_text())
        with tempfile.TemporaryDirectory() as folder:
            outputs = outputs_of(notebook, folder)
        cells = [cell for cell in notebook["cells"] if is_run(cell)]
        for number, cell in enumerate(cells, 1):
            cell["execution_count"] = number
            cell["outputs"] = outputs[number - 1]
        text = json.dumps(notebook, indent=1, ensure_ascii=False)
        path.write_text(text + "\n")
        print(path, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
