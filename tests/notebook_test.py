"""The notebooks, run as they are on this machine, and their format."""

import json
import re
import runpy

import documents
import pytest

ROOT = documents.ROOT
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHATTER = r"oneDNN|cuda|absl|\.cc:\d+\]"  # what TensorFlow says in C++ too
OUTPUTS = runpy.run_path(str(ROOT / "docs" / "notebook_outputs.py"))


def _read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_format(path):
    """What nbformat 4.5 requires, and outputs: `docs/notebook_outputs.py`."""
    notebook = _read(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)
    number = 0
    for cell in notebook["cells"]:
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert all(isinstance(line, str) for line in cell["source"])
        keys = {"cell_type", "id", "metadata", "source"}
        if cell["cell_type"] == "code":
            keys |= {"execution_count", "outputs"}
        else:
            assert cell["cell_type"] == "markdown"
        assert set(cell) == keys
        if OUTPUTS["is_run"](cell):
            number += 1
            assert cell["execution_count"] == number
        else:
            assert not cell.get("outputs")
    assert any(cell.get("outputs") for cell in notebook["cells"])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_kept_outputs_are_clean(path):
    """Neither a path of a machine, nor what TensorFlow says as it starts."""
    outputs = [cell.get("outputs", []) for cell in _read(path)["cells"]]
    text = json.dumps(outputs)
    assert not re.search("/home/|/root/|/tmp/", text)
    assert not re.search(f"{CHATTER}|Traceback|FATAL", text)


def test_colab_installs_what_the_readme_says():
    cells = {
        cell["id"]: "".join(cell["source"])
        for cell in _read(ROOT / "notebooks" / "colab_tpu.ipynb")["cells"]
    }
    assert "git clone" in cells["clone"]
    steps = (ROOT / "docs" / "distributed.md").read_text()
    for package in ("tensorflow-tpu==2.19.1", "numba"):
        assert f"pip install --quiet {package}\n" in cells["install"]
        assert f"pip install {package}" in steps


def _run(name, folder):
    """Returns the lines that a notebook prints, but for its installation."""
    outputs = OUTPUTS["outputs_of"](
        _read(ROOT / "notebooks" / f"{name}.ipynb"), folder
    )
    streams = {"stdout": "", "stderr": ""}
    for output in sum(outputs, []):
        if output["output_type"] == "stream":
            streams[output["name"]] += "".join(output["text"])
    # Used from Python, libraries are as silent as in commands.
    assert not re.search(CHATTER, streams["stderr"])
    return streams["stdout"].splitlines()


def _tables(lines):
    """Returns the metrics of each table printed: P@1, P@3, P@5, ..."""
    rows = (re.fullmatch(r"(?:this run)?([\d. ]+)", line) for line in lines)
    found = [[float(x) for x in row[1].split()] for row in rows if row]
    return [row for row in found if len(row) >= 3]


@pytest.mark.slow
def test_colab_notebook_runs(tmp_path):
    lines = _run("colab_tpu", tmp_path)
    assert any(line.startswith("strategy=default ") for line in lines)
    trained, evaluated = _tables(lines)
    assert trained[:3] == evaluated[:3]
    assert evaluated[0] > 50  # P@1; the best possible is 80
    for word in ("true: ", "predicted: "):
        found = [line for line in lines if line.startswith(word)]
        assert len(found) == 3
        assert all("topic-" in line or "general-" in line for line in found)


def test_dataframe_notebook_runs(tmp_path):
    """From a table to names in three lines, timed."""
    pytest.importorskip("pandas")
    lines = _run("dataframe_to_names", tmp_path)
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


@pytest.mark.slow
def test_quick_start_notebook_runs(tmp_path):
    lines = _run("quick_start", tmp_path)
    trained, evaluated, *_ = _tables(lines)
    assert trained[:3] == evaluated[:3]
    assert any(line.startswith("continues after 6 epochs") for line in lines)
    assert f"'P@1': {trained[0]}" in lines[-1]


@pytest.mark.slow
def test_mach_notebook_runs(tmp_path):
    lines = _run("mach_many_labels", tmp_path)
    assert any(line.startswith("MACH: ") for line in lines)
    assert _tables(lines)[0][0] > 30  # P@1; always the most frequent: 17
    mach, sigmoid = (int(x.split()[-1].replace(",", "")) for x in lines[-2:])
    assert mach < sigmoid


@pytest.mark.slow
def test_distributed_notebook_runs(tmp_path):
    lines = _run("distributed_on_one_machine", tmp_path)
    same = [line for line in lines if "largest difference" in line]
    assert len(same) == 2 and all(line.endswith("True") for line in same)


@pytest.mark.slow
def test_reranker_notebook_runs(tmp_path):
    lines = _run("reranker_rare_labels", tmp_path)
    head, _, reranked = [row for row in _tables(lines) if len(row) == 8][:3]
    assert reranked != head
    assert any('"explanations"' in line for line in lines)
    assert any(line.startswith("label_id,") for line in lines)


@pytest.mark.slow
def test_export_notebook_runs(tmp_path):
    lines = _run("export_and_browser", tmp_path)
    assert "[[b'fishing']" in "".join(lines) and "[b'law']" in "".join(lines)
    assert lines[-1].startswith("['music'")
