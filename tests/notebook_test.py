"""The notebooks, run as they are on this machine, and their format."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def _read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_format(path):
    """What nbformat 4.5 requires; and nothing that a run leaves behind."""
    notebook = _read(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)
    for cell in notebook["cells"]:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert all(isinstance(line, str) for line in cell["source"])
        keys = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            keys |= {"execution_count", "outputs"}
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
        else:
            assert cell["cell_type"] == "markdown"
        assert set(cell) == keys


def _run(name, folder):
    """Returns what a notebook's cells print, but for its installation."""
    cells = _read(ROOT / "notebooks" / name)["cells"]
    code = [
        "".join(cell["source"])
        for cell in cells
        if cell["cell_type"] == "code"
        and "colab" not in cell["metadata"].get("tags", [])
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.slow
def test_colab_notebook_runs(tmp_path):
    lines = _run("colab_tpu.ipynb", tmp_path)
    assert any(line.startswith("strategy=default ") for line in lines)
    trained, evaluated = (
        line.split() for line in lines if re.fullmatch(r"[\d. ]+", line)
    )
    assert trained[:3] == evaluated[:3]
    assert float(evaluated[0]) > 50  # P@1; the best possible is 80
    for word in ("true: ", "predicted: "):
        found = [line for line in lines if line.startswith(word)]
        assert len(found) == 3
        assert all("topic-" in line or "general-" in line for line in found)


def test_dataframe_notebook_runs(tmp_path):
    """From a table to names in three lines, timed."""
    pytest.importorskip("pandas")
    lines = _run("dataframe_to_names.ipynb", tmp_path)
    (timed,) = [line for line in lines if "texts learnt" in line]
    match = re.fullmatch(
        r"1,600 texts learnt, 400 answered in ([\d.]+) s", timed
    )
    assert float(match[1]) < 60
    (score,) = [line for line in lines if line.startswith("P@1")]
    assert float(score.split()[-1]) > 0.95
    assert lines[-1].startswith("['") and "fishing" in lines[-1]
    assert "law" in lines[-1] and any(
        line.startswith("epoch 5: ") for line in lines
    )


def _environment():
    """Returns this process's environment, with the project importable."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}
