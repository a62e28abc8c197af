"""`python -m tfxml.export`, end to end, and the model card."""

import json
import os
import re
import subprocess
import sys

import exporting
import pytest
import yaml

from tfxml.export.js import js_model
from tfxml.export.shared import model_card
from tfxml.run import train_and_evaluate


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "mach"
    train_and_evaluate.train(exporting.features_config("mach"), str(path))
    return path


def _export(*words):
    return subprocess.run(
        [sys.executable, "-m", "tfxml.export", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("saved_model", ["1/saved_model.pb", "models.config", "SERVING.md"]),
        pytest.param(
            *("keras", ["model.keras", "label_names.json"]),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("tflite", ["model_int8.tflite", "label_names.json"]),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_writes(kind, files, workdir, tmp_path):
    done = _export(
        f"--workdir={workdir}",
        f"--format={kind}",
        f"--output={tmp_path / 'out'}",
        "--name=my model" if kind == "keras" else "--name=my_model",
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # No notes of TensorFlow on signatures; LiteRT's runtime has one line.
    assert not re.sub("INFO: Created .* XNNPACK .*\n", "", done.stderr)
    assert str(tmp_path / "out") in done.stdout
    for name in [*files, "MODEL_CARD.md"]:
        assert (tmp_path / "out" / name).is_file()
    if kind == "tflite":
        assert re.search(r"^int8 +[\d.]+ MB", done.stdout, re.MULTILINE)
        assert "same top 5" in done.stdout or "not measured" in done.stdout
    if kind == "keras":
        card = (tmp_path / "out" / "MODEL_CARD.md").read_text()
        (code,) = re.findall(r"```python\n(.+?)```", card, re.DOTALL)
        rows = (
            "import numpy as np\n"
            "feature_ids = np.array([[3, 7]], np.int32)\n"
            "feature_values = np.ones([1, 2], np.float32)\n"
        )
        subprocess.run(
            [sys.executable, "-c", rows + code],
            cwd=tmp_path / "out",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            timeout=120,
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["--format=onnx"], "--format", marks=pytest.mark.slow),
        (["--format=tfjs"], "npm install --prefix tfjs"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (
                    ["--format=keras", "--weights=int8"],
                    "`weights` must be one of",
                ),
                (
                    ["--format=tfjs", "--tfjs_env=/nowhere"],
                    "python3 -m venv /nowhere",
                ),
                (["--format=keras", "--workdir=/nowhere"], "`workdir` must be"),
                ([], "format"),
            )
        ),
    ],
)
def test_errors_say_what_to_do(words, message, workdir, tmp_path):
    given = [f"--workdir={workdir}", f"--output={tmp_path / 'out'}", *words]
    done = _export(*given)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["features", "text", "hashed"])
def test_model_card(kind, tmp_path):
    if kind == "features":
        run = exporting.features_run("mach")
    else:
        buckets = 64 if kind == "hashed" else 0
        run = exporting.text_run("sigmoid", hash_buckets=buckets)
    metrics = {"P@1": 61.234, "PSP@5": 12.3, "step": 9, "loss": 1.0}
    path = model_card.write(run, metrics, tmp_path, 'the "best"', "Run it.")
    _, header, body = path.read_text().split("---\n", 2)
    fields = yaml.safe_load(header)
    assert ("pipeline_tag" in fields) == (kind != "features")
    (entry,) = fields["model-index"]
    assert entry["name"] == 'the "best"'
    assert {m["name"]: m["value"] for m in entry["results"][0]["metrics"]} == {
        "P@1": 61.23,
        "PSP@5": 12.3,
    }
    for heading in ("Use", "Data", "Metrics", "Limits", "Training"):
        assert f"\n## {heading}\n" in body
    assert "wrong label does harm" in body
    assert ("MACH" in body) == (kind == "features")
    assert ("hashed words" in body) == (kind == "hashed")
    rare = int((run.label_counts < 10).sum())
    assert f"{rare} of them have fewer than 10" in body
    assert "| 61.23 | 12.30 |" in body
    assert json.loads(json.dumps(fields)) == fields


def test_weights_that_a_browser_cannot_count_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(js_model, "_MAX_WEIGHTS", 100)
    run = exporting.features_run("reranked")
    with pytest.raises(ValueError, match="at most 100 weights"):
        js_model.write(run, tmp_path, None)
    assert not list(tmp_path.iterdir())
