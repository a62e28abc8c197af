"""The worked examples of docs/extending.md, used as a reader would use them.

The packages are copied; each example goes into its folder, and its line into
the dictionary there. Then commands, and the contract's tests, run in the copy.
"""

import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys

import documents
import killing
import numpy as np
import pytest
import runs

ROOT = documents.ROOT
PAGE = ROOT / "docs" / "extending.md"
# The dictionary of each folder.
DICTIONARIES = {
    "tfxml/models/heads/": "__init__.py",
    "tfxml/models/losses/": "__init__.py",
    "tfxml/models/encoders/": "__init__.py",
    "tfxml/data/formats/": "format_table.py",
}
DATA = [
    "--synthetic_labels=60",
    "--synthetic_train=400",
    "--synthetic_test=100",
]
MODEL = ["--head=cosine", "--loss=poly", "--encoder=gated"]
TRAINING = [
    *[*DATA, *MODEL],
    "--gated_units=32",
    "--poly_epsilon=0.5",  # not the defaults: the flags are read
    "--cosine_scale=5",
    "--batch_size=32",
    "--num_epochs=4",
    "--learning_rate=0.01",
    "--checkpoint_steps=5",
    "--steps_per_loop=5",
]
# The contract of what is new; of the other classes it runs already.
CONTRACT = (
    "poly and (cosine or prior-bag or mach-gated or losses) "
    "or cosine and (saved or config) or every_class"
)
SOFTMAX = ["--loss=softmax_cross_entropy", "--several_labels=average"]
ROWS = [
    {"feature_ids": [1, 5, 17], "feature_values": [1.0, 0.5, 2.0]},
    {"feature_ids": [219], "feature_values": [1.0]},
]


def _examples():
    """Returns file, folder and line of each example, as the page has them."""
    rows = re.findall(
        r"^\| `(docs/examples/extending/\w+\.py)` \| `([\w/]+/)` \| `(.+)` \|$",
        PAGE.read_text(),
        flags=re.M,
    )
    assert len(rows) == 5
    return [(ROOT / path, folder, line) for path, folder, line in rows]


def _copied(folder):
    """Returns a copy of the packages and the contract's tests."""
    for name in ("tfxml", "strategies"):
        shutil.copytree(
            ROOT / name,
            folder / name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    (folder / "tests").mkdir()
    for name in ("conftest.py", "contract_test.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _add_line(path, module, line):
    """Adds a line to the dictionary, which imports formats by itself."""
    text = path.read_text()
    if path.name == "format_table.py":
        package = ".".join(path.relative_to(path.parents[3]).parts[:-1])
        start = f"from {package} import"
        assert start in text
        text = text.replace(start, f"{start} {module}\n{start}", 1)
    text, number = re.subn(
        r"^(\w+(?:: .+)? = \{\n(?:    .+\n)+)\}",
        rf"\1    {line}\n}}",
        text,
        count=1,
        flags=re.M,
    )
    assert number == 1
    path.write_text(text)


def _environment(folder):
    return {**os.environ, "PYTHONPATH": str(folder)}


def _python(folder, *words):
    """Runs Python in a copy; returns its exit code and output."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=500,
    )
    return done.returncode, done.stdout + done.stderr


def _contract(folder, *words):
    return _python(
        folder, "-m", "pytest", "-vv", "-p", "no:cacheprovider", *words
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """Returns the copy, with every example and every line in it."""
    folder = _copied(tmp_path_factory.mktemp("copy"))
    for path, package, line in _examples():
        shutil.copy(path, folder / package)
        dictionary = folder / package / DICTIONARIES[package]
        _add_line(dictionary, path.stem, line)
    (folder / "rows.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in ROWS)
    )
    return folder


@pytest.fixture(scope="module")
def beside(copy, tmp_path_factory):
    """Returns what runs in another process while the tests run: futures."""
    without = _copied(tmp_path_factory.mktemp("without"))
    for path, package, _ in _examples():
        shutil.copy(path, without / package)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield {
            "contract": pool.submit(
                *(_contract, copy, "tests/contract_test.py"),
                # Those of the other classes run in this suite already.
                *("-m", "slow or not slow", "-k", CONTRACT),
            ),
            "mirrored": pool.submit(
                *(_python, copy, "-m", "tfxml.train", *TRAINING),
                *("--strategy=mirrored", "--logical_cpus=2"),
                "--workdir=runs/mirrored",
            ),
            "left out": pool.submit(
                *(_contract, without, "tests/contract_test.py"),
                *("-k", "every_class_is_in_its_dictionary"),
            ),
        }


@pytest.fixture(scope="module")
def killer(copy, beside):
    """Returns a process that forks for each command in the copy."""
    with killing.Killer(copy) as started:
        yield started


@pytest.fixture(scope="module")
def command(copy, killer):
    """Returns a function that runs a command; it returns code and output."""

    def run(module, *words):
        code, _, output = killer.run(module, words, copy)
        return code, output

    return run


@pytest.fixture(scope="module")
def trained(copy, killer):
    """Returns a run's folder, and how many file operations it took."""
    words = [*TRAINING, "--workdir=runs/whole"]
    code, count, output = killer.run("tfxml.train", words, copy)
    assert code == 0, output[-3000:]
    return "runs/whole", count


def test_the_page_shows_every_example_whole():
    text = PAGE.read_text()
    for path, _, _ in _examples():
        source = path.relative_to(ROOT / "docs").as_posix()
        assert f"```python\n--8<--\n{source}\n--8<--\n```\n" in text


# --- heads, losses, encoders ------------------------------------------------


def test_it_trains(copy, trained):
    path = copy / trained[0]
    entries = runs.entries(path)
    assert entries[-1]["loss"] < 0.8 * entries[0]["loss"]
    # Better than to answer the most frequent label always.
    counts = np.load(path / "label_counts.npy", allow_pickle=False)
    assert entries[-1]["P@1"] > 1.5 * 100 * counts.max() / 400


def test_its_options_are_flags_and_in_the_recipe(copy, trained):
    config = json.loads((copy / trained[0] / "config.json").read_text())
    assert config["poly_epsilon"] == 0.5
    assert config["cosine_scale"] == 5
    assert config["gated_units"] == 32
    assert [config[k] for k in ("head", "loss", "encoder")] == [
        word.partition("=")[2] for word in MODEL
    ]
    flagfile = (copy / trained[0] / "flags.cfg").read_text()
    assert "--poly_epsilon=0.5\n" in flagfile


def test_every_weight_is_saved(copy, trained):
    saved = runs.tensors(copy / trained[0], "model/")
    names = {name.split("/")[1] for name in saved}
    assert names == {
        "encoder_0_kernel",
        "encoder_0_bias",
        "head_kernel",
        "head_bias",
        "head_log_scale",
    }
    (scale,) = [v for name, v in saved.items() if "log_scale" in name]
    assert scale != np.float32(np.log(5))  # and was trained


def test_killed_and_resumed_equals_uninterrupted(copy, killer, trained):
    """Bit for bit; the second process is a command of its own."""
    path, count = trained
    killed = copy / "runs" / "killed"
    words = [*TRAINING, f"--workdir={killed}"]
    code, _, _ = killer.run("tfxml.train", words, copy, at=2 * count // 3)
    assert code == -9
    assert runs.last_step(killed) < runs.last_step(copy / path)
    assert not (killed / "result.json").exists()
    code, output = _python(copy, "-m", "tfxml.train", *words)
    assert code == 0, output[-3000:]
    assert re.search(r"^resumes +at step [1-9]", output, flags=re.M)
    runs.assert_near(runs.tensors(copy / path), runs.tensors(killed))
    result = (copy / path / "result.json").read_bytes()
    assert (killed / "result.json").read_bytes() == result


def test_it_is_evaluated(copy, command, trained):
    path = trained[0]
    code, output = command("tfxml.evaluate", f"--workdir={path}")
    assert code == 0, output
    result = json.loads((copy / path / "result.json").read_text())
    assert f"{result['P@1']:.2f}" in output
    assert f"{result['PSP@5']:.2f}" in output


def _predict(copy, command, path, runtime):
    """Returns the answers, and what was said beside them."""
    answers = copy / f"answers_{runtime}.jsonl"
    code, output = command(
        "tfxml.predict",
        f"--workdir={path}",
        "--input=rows.jsonl",
        f"--output={answers}",
        f"--runtime={runtime}",
    )
    assert code == 0, output
    lines = answers.read_text().splitlines()
    answers.unlink()
    return [json.loads(line) for line in lines], output


def _said(output):
    """Returns the lines of output that are ours."""
    return re.findall(r"^(?:FATAL|runtime) .+$", output, flags=re.M)


def test_it_predicts_by_tensorflow_and_says_why(copy, command, trained):
    found, output = _predict(copy, command, trained[0], "tensorflow")
    assert len(found) == len(ROWS) and _said(output) == []
    assert all(len(set(one["label_ids"])) == 5 for one in found)
    automatic, output = _predict(copy, command, trained[0], "auto")
    assert automatic == found
    assert _said(output) == [
        "runtime   tensorflow: GatedEncoder declares no serving form, so "
        "TensorFlow alone can run it"
    ]


REFUSALS = {
    "cpu": (
        ["tfxml.predict", "--input=rows.jsonl", "--runtime=cpu"],
        "FATAL `model` must be one that compiled loops can run. Received: "
        "GatedEncoder declares no serving form, so TensorFlow alone can run it",
    ),
    **{
        name: (
            ["tfxml.export.__main__", f"--format={name}", "--output=refused"],
            "FATAL `head` must rank by blocks of outputs for LiteRT and "
            "TensorFlow.js. Received: CosineHead declares no serving form; "
            "export a SavedModel instead",
        )
        for name in ("tflite", "tfjs")
    },
}


@pytest.fixture(scope="module")
def tfjs_env(copy):
    """Returns a folder that passes for TensorFlow.js, which is never run."""
    modules = copy / "tfjs" / "node_modules" / "@tensorflow"
    for path in (
        copy / "tfjs" / "bin" / "tensorflowjs_converter",
        modules / "tfjs" / "dist" / "tf.min.js",
        modules / "tfjs-backend-wasm" / "dist" / "tf-backend-wasm.min.js",
        modules / "tfjs-backend-wasm" / "dist" / "tfjs-backend-wasm.wasm",
        modules / "tfjs-backend-wasm" / "dist" / "tfjs-backend-wasm-simd.wasm",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return copy / "tfjs"


@pytest.mark.parametrize("name", list(REFUSALS))
def test_others_refuse_with_one_sentence(
    copy, command, trained, tfjs_env, name
):
    (module, *words), sentence = REFUSALS[name]
    if name == "tfjs":
        words.append(f"--tfjs_env={tfjs_env}")
    code, output = command(module, f"--workdir={trained[0]}", *words)
    assert code == 1
    assert _said(output) == [sentence]
    assert "Traceback" not in output
    assert not list((copy / "refused").glob("*"))


def test_it_is_exported_as_a_saved_model(copy, command, trained):
    code, output = command(
        "tfxml.export.__main__",
        f"--workdir={trained[0]}",
        "--format=saved_model",
        "--output=served",
    )
    assert code == 0, output[-3000:]
    assert (
        "CosineHead of 60 labels"
        in (copy / "served" / "MODEL_CARD.md").read_text()
    )
    # Served without a line of ours.
    script = """
import json, sys, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
rows = json.loads(sys.argv[2])
for row in rows:
    found = model.signatures["features"](
        feature_ids=tf.constant([row["feature_ids"]]),
        feature_values=tf.constant([row["feature_values"]]),
        k=tf.constant(5),
    )
    print(json.dumps(found["label_ids"].numpy()[0].tolist()))
assert not [name for name in sys.modules if name.startswith("tfxml")]
"""
    code, output = _python(copy / "served", "-c", script, "1", json.dumps(ROWS))
    assert code == 0, output[-3000:]
    found, _ = _predict(copy, command, trained[0], "tensorflow")
    served = re.findall(r"^\[.+\]$", output, flags=re.M)
    assert list(map(json.loads, served)) == [one["label_ids"] for one in found]


def test_two_replicas_train_the_same_weights(copy, beside, trained):
    code, output = beside["mirrored"].result()
    assert code == 0, output[-3000:]
    assert "replicas=2" in output
    runs.assert_near(
        runs.tensors(copy / trained[0], "model/"),
        runs.tensors(copy / "runs" / "mirrored", "model/"),
        atol=1e-5,
    )


# --- the contract -----------------------------------------------------------


def test_the_contract_holds_and_finds_the_classes(beside):
    code, output = beside["contract"].result()
    assert code == 0, output[-3000:]
    passed = set(re.findall(r"::test_(\w+)\[(.+)\] PASSED", output))
    for words in (
        ("every_trainable_weight_is_trained", "cosine-gated-poly"),
        ("every_trainable_weight_is_trained", "prior-bag-poly"),
        ("gradients_of_losses_are_finite_differences", "poly-True"),
        ("gradients_of_weights_are_finite_differences", "cosine-gated-poly"),
        ("gradients_of_weights_are_finite_differences", "mach-gated-poly"),
        ("separating_losses_add_up_over_blocks", "poly"),
        ("every_weight_is_saved", "cosine"),
        ("the_compiled_path_agrees_or_says_why_not", "prior-bag-poly"),
        ("the_compiled_path_agrees_or_says_why_not", "cosine-bag-poly"),
        ("the_config_makes_the_same_model", "cosine"),
    ):
        assert words in passed


def test_a_class_that_is_left_out_fails(beside):
    """Of each kind: the files are there, and the lines are not."""
    code, output = beside["left out"].result()
    assert code == 1
    assert len(re.findall(r"dictionary\[.+\] FAILED", output)) == 3
    for name in ("CosineHead", "PriorHead", "PolyLoss", "GatedEncoder"):
        assert name in output


# --- a serving form ---------------------------------------------------------


@pytest.mark.slow
def test_a_head_with_a_form_runs_everywhere(copy, command):
    words = [word for word in TRAINING if word not in MODEL]
    path = "runs/prior"
    code, output = command(
        "tfxml.train",
        *[*words, "--head=prior", "--loss=poly", "--hidden_units=16"],
        f"--workdir={path}",
    )
    assert code == 0, output[-3000:]
    wanted, _ = _predict(copy, command, path, "tensorflow")
    for runtime in ("cpu", "auto"):
        found, output = _predict(copy, command, path, runtime)
        assert _said(output) == []
        for one, other in zip(found, wanted, strict=True):
            assert one["label_ids"] == other["label_ids"]
            np.testing.assert_allclose(
                one["scores"], other["scores"], atol=2e-6
            )
    code, output = command(
        "tfxml.export.__main__",
        f"--workdir={path}",
        "--format=tflite",
        "--output=lite",
    )
    assert code == 0, output[-3000:]
    assert re.search(r"^float32 .* 100\.00% ", output, flags=re.M)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["--head=mach", "--num_repetitions=4", "--num_encoders=2"],
        ["--head=prior", *SOFTMAX],
        ["--head=cosine", "--reranker_passes=1"],
        ["--head=cosine", "--form=padded"],
        ["--head=cosine", "--form=compact", "--head_optimizer=sgd"],
    ],
    ids=" ".join,
)
def test_modules_go_together(copy, command, words):
    path = f"runs/{'_'.join(words)}"
    code, output = command(
        "tfxml.train", *TRAINING, *words, f"--workdir={path}"
    )
    assert code == 0, output[-3000:]
    entries = runs.entries(copy / path)
    assert entries[-1]["loss"] < entries[0]["loss"]
    code, output = command("tfxml.evaluate", f"--workdir={path}")
    assert code == 0, output[-3000:]


@pytest.mark.slow
def test_encoders_lie_where_their_repetitions_do(copy, command):
    words = [
        *[*TRAINING, "--head=mach", "--num_repetitions=4", "--num_encoders=2"],
        "--logical_cpus=2",
    ]
    for name, more in (
        ("together", []),
        ("apart", ["--model_devices=CPU:0,CPU:1"]),
    ):
        path = f"--workdir=runs/{name}"
        code, output = command("tfxml.train", *words, *more, path)
        assert code == 0, output[-3000:]
    runs.assert_near(
        *(
            runs.tensors(copy / "runs" / name, "model/")
            for name in ("together", "apart")
        ),
        atol=1e-5,
    )


# --- a format ---------------------------------------------------------------


def _write_baskets(folder, more=""):
    rng = np.random.default_rng(0)
    folder.mkdir()
    for split, number in (("train", 60), ("test", 20)):
        labels = rng.integers(0, 3, number)
        rows = [f"{label};{label} {label + 3} 6 6" for label in labels]
        size = number + len(more.splitlines())
        lines = [f"{size} 7 3", *rows]
        (folder / f"{split}.baskets").write_text("\n".join(lines) + f"\n{more}")
    return folder


BASKETS = [
    "--encoder=gated",
    "--gated_units=8",
    "--batch_size=8",
    "--num_epochs=5",
    "--learning_rate=0.05",
]


def test_a_new_format_is_found_and_trained_on(copy, command):
    folder = _write_baskets(copy / "shop")
    code, output = command(
        "tfxml.train", *BASKETS, f"--data_dir={folder}", "--workdir=runs/shop"
    )
    assert code == 0, output[-3000:]
    assert "60 training and 20 evaluation instances, 7 features" in output
    assert runs.entries(copy / "runs" / "shop")[-1]["P@1"] == 100


@pytest.mark.slow
def test_a_new_format_can_be_prepared(copy, command):
    folder = _write_baskets(copy / "to_prepare")
    code, output = command(
        "tfxml.prepare", f"--data_dir={folder}", "--output=prepared"
    )
    assert code == 0, output[-3000:]
    code, output = command(
        "tfxml.train", *BASKETS, "--data_dir=prepared", "--workdir=runs/records"
    )
    assert code == 0, output[-3000:]
    assert runs.entries(copy / "runs" / "records")[-1]["P@1"] == 100


@pytest.mark.parametrize(
    ("more", "line", "found"),
    [
        ("0;9\n", 62, "feature id 9"),
        ("7;1\n", 62, "label id 7"),
        ("0 1 2\n", 62, "'0 1 2'; needed `label,label;item item`"),
        ("\n", 62, "''"),
    ],
)
def test_bad_rows_of_a_new_format_are_named(copy, command, more, line, found):
    name = f"bad_{len(list(copy.glob('bad_*')))}"
    folder = _write_baskets(copy / name, more)
    words = [*BASKETS, f"--data_dir={folder}", f"--workdir=runs/{name}"]
    code, output = command("tfxml.train", *words)
    assert code == 1
    (sentence,) = _said(output)
    assert f"train.baskets:{line}: found {found}" in sentence
