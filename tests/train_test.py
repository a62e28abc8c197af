"""The real runs, small: train, resume, evaluate, predict, in real folders."""

import gzip
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import runs
import tensorflow as tf
from tensorboard.compat.proto import event_pb2

from tfxml import config as config_lib
from tfxml import evaluate
from tfxml.data import requests
from tfxml.run import (
    answers,
    numpy_predictor,
    request_predictor,
    restore,
    set_choices,
    train_and_evaluate,
    workdir,
)

TINY = config_lib.Config(
    synthetic_labels=60,
    synthetic_train=330,
    synthetic_test=90,
    hidden_units=(16,),
    batch_size=64,
    num_epochs=2,
    steps_per_loop=4,
    num_repetitions=3,
    num_buckets=20,
)


# How the lines of a run begin.
OURS = (
    r"(takes over the lease|workdir|strategy=|reading|data|model|memory|"
    r"resumes|tracing|epoch \d+:|$|"
    r" *P@1|(this run|\w+)? *\d+\.\d+|Bayes optimum|median step|"
    r"run directory:|next| {10}(echo|python -m tfxml))"
)


def _train(path, config=TINY, strategy=None):
    return train_and_evaluate.train(config, str(path), strategy=strategy)


HEADS = {
    "sigmoid": {},
    "linear": {"hidden_units": ()},
    "mach": {"head": "mach"},
    "mach_encoders": {"head": "mach", "num_encoders": 3},
    "deep": {"hidden_units": (16, 16), "residual": True},
    "reranked": {
        "reranker_passes": 3,
        "num_hard_negatives": 20,
        "reranker_features": 8,
        "num_candidates": 6,
    },
}


@pytest.mark.parametrize(
    "name",
    [
        "reranked",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("sigmoid", "linear", "mach", "mach_encoders", "deep")
        ),
    ],
)
def test_trains_evaluates_and_predicts(name, tmp_path, capsys):
    config = TINY.replace(**HEADS[name])
    metrics = _train(tmp_path, config)
    output = capsys.readouterr().out
    assert "PSP@5" in output and "Bayes optimum" in output
    assert "peak memory" in output and str(tmp_path) in output
    last = runs.entries(tmp_path)[-1]
    assert (last["epoch"], last["step"]) == (2, 12 + (name == "reranked"))
    assert last["P@1"] == metrics["P@1"]
    again = evaluate.evaluate(str(tmp_path)).result()
    assert again == metrics
    run = restore.restore(str(tmp_path), tf.distribute.get_strategy())
    request = requests.Request(
        None, np.array([3, 7], np.int32), np.array([1, 1], np.float32), "a"
    )
    answer, *others = (
        request_predictor.RequestPredictor(run, 3, runtime).predict([request])[
            0
        ]
        for runtime in answers.RUNTIMES
    )
    others += numpy_predictor.open_run(
        str(tmp_path), "auto", lambda _: set_choices.SetChoice(k=3), False
    ).predict([request])
    for other in others:
        assert other["label_ids"] == answer["label_ids"]
        np.testing.assert_allclose(other["scores"], answer["scores"], atol=2e-6)
    assert answer["uid"] == "a"
    assert len(answer["label_names"]) == len(answer["label_ids"]) == 3
    assert answer["scores"] == sorted(answer["scores"], reverse=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [({"k": 0}, "`k` must"), ({"runtime": "gpu"}, "`runtime` must be one of")],
)
def test_a_predictor_that_cannot_be_is_refused(words, message):
    with pytest.raises(ValueError, match=message):
        request_predictor.RequestPredictor(None, **words)


def test_training_learns(tmp_path):
    config = TINY.replace(
        synthetic_train=3000, num_epochs=10, learning_rate=0.01
    )
    metrics = _train(tmp_path, config)
    counts = workdir.Workdir(tmp_path).read_label_counts()
    frequent = 100 * counts.max() / 3000  # the best constant answer
    assert metrics["P@1"] > frequent + 20


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("sigmoid", marks=pytest.mark.slow),
        pytest.param("mach", marks=pytest.mark.slow),
        pytest.param("reranked", marks=pytest.mark.slow),
    ],
)
def test_killed_and_resumed_equals_uninterrupted(name, tmp_path):
    """Bit for bit: weights, optimizer, step; killed by a real signal."""
    words = {**HEADS[name], "num_epochs": 4, "optimizer": "lazy_adam"}
    config = TINY.replace(**words)
    _train(tmp_path / "whole", config)
    flagfile = tmp_path / "recipe.cfg"
    flagfile.write_text((tmp_path / "whole" / "flags.cfg").read_text())
    command = runs.command(
        "tfxml.train",
        f"--flagfile={flagfile}",
        f"--workdir={tmp_path / 'killed'}",
    )
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:  # SIGKILL after the second epoch's line
        if line.startswith("epoch 2:"):
            break
    process.kill()
    process.wait(timeout=60)
    assert [e["epoch"] for e in runs.entries(tmp_path / "killed")][:2] == [1, 2]
    resumed = runs.finished(command)
    assert resumed.returncode == 0 and "resumes   at step" in resumed.stdout
    # No word of TensorFlow, absl or CUDA, nor a figure of the graph's making.
    assert resumed.stderr == ""
    for line in resumed.stdout.splitlines():
        assert re.match(OURS, line), line
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    runs.assert_near(runs.tensors(whole), runs.tensors(killed))
    ours, theirs = (
        [runs.without_costs(entry) for entry in runs.entries(path)]
        for path in (whole, killed)
    )
    assert ours == theirs


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("sigmoid", marks=pytest.mark.slow),
        pytest.param("reranked", marks=pytest.mark.slow),
    ],
)
def test_more_epochs_continue_a_finished_run(name, tmp_path, capsys):
    """Bit for bit where the learning rate does not depend on their number."""
    config = TINY.replace(**HEADS[name], decay="constant", num_epochs=4)
    whole = _train(tmp_path / "whole", config)
    path = tmp_path / "run"
    _train(path, config.replace(num_epochs=2))
    capsys.readouterr()
    assert _train(path, config) == whole
    output = capsys.readouterr().out
    assert "continues after 2 epochs, up to 4, as a run of so many" in output
    # What it is compared with lies beside it, on the same data.
    assert re.search(rf"^whole +{whole['P@1']:.2f} ", output, flags=re.M)
    runs.assert_near(runs.tensors(path), runs.tensors(tmp_path / "whole"))
    ours, theirs = (
        [runs.without_costs(entry) for entry in runs.entries(one)]
        for one in (path, tmp_path / "whole")
    )
    assert ours == theirs
    assert workdir.Workdir(path).read()[0] == config
    assert "--num_epochs=4\n" in (path / "flags.cfg").read_text()
    with pytest.raises(ValueError, match="num_epochs may be larger.*differ in"):
        _train(path, config.replace(num_epochs=3))


@pytest.mark.slow
def test_a_changed_recipe_that_was_killed_is_mended(tmp_path, monkeypatch):
    _train(tmp_path, TINY)
    more = TINY.replace(num_epochs=3)
    found = workdir.Workdir(tmp_path)
    monkeypatch.setattr(workdir.manifest, "mend", lambda folder: None)
    found.change_recipe(more)
    monkeypatch.undo()
    assert found.read()[0] == TINY
    (tmp_path / "config.json").write_text(more.to_json())  # the kill was here
    found.mend()
    assert workdir.Workdir(tmp_path).read()[0] == more


@pytest.mark.slow
def test_stopped_before_labels_learnt_they_learn_when_resumed(tmp_path):
    config = TINY.replace(**HEADS["reranked"], keep_checkpoints=2)
    metrics = _train(tmp_path, config)
    whole = runs.tensors(tmp_path)
    (last,) = (tmp_path / "checkpoints").glob("step_*13")
    shutil.rmtree(last)
    assert _train(tmp_path, config) == metrics
    runs.assert_near(runs.tensors(tmp_path), whole)
    assert [one["step"] for one in runs.entries(tmp_path)] == [6, 12, 13]


@pytest.mark.parametrize(
    "name, form",
    [
        ("sigmoid", "dense"),
        pytest.param("mach", "dense", marks=pytest.mark.slow),
        pytest.param("mach_encoders", "dense", marks=pytest.mark.slow),
        pytest.param("sigmoid", "compact", marks=pytest.mark.slow),
        pytest.param("reranked", "dense", marks=pytest.mark.slow),
        pytest.param("mach", "compact", marks=pytest.mark.slow),
        pytest.param("mach_encoders", "compact", marks=pytest.mark.slow),
    ],
)
def test_two_replicas_equal_one_device(name, form, tmp_path, mirrored):
    """316 instances in batches of 63: the last leaves one share empty."""
    config = TINY.replace(
        **HEADS[name],
        form=form,
        synthetic_train=316,
        dropout=0.0,
        batch_size=63,
        global_clipnorm=0.5,
    )
    one = _train(tmp_path / "one", config)
    two = _train(tmp_path / "two", config, mirrored)
    assert one == pytest.approx(two, abs=1e-9)
    ours, theirs = (runs.tensors(tmp_path / name) for name in ("one", "two"))
    runs.assert_near(ours, theirs, atol=1e-5)


@pytest.mark.slow
def test_steps_per_loop_changes_nothing(tmp_path):
    for number in (1, 5):
        config = TINY.replace(steps_per_loop=number)
        _train(tmp_path / str(number), config)
    runs.assert_near(runs.tensors(tmp_path / "1"), runs.tensors(tmp_path / "5"))


@pytest.mark.slow
def test_padded_rows_train_as_ragged_ones(tmp_path):
    words = {"dropout": 0.0, "batch_size": 60}
    for form in ("compact", "padded"):
        config = TINY.replace(form=form, **words)
        _train(tmp_path / form, config)
    compact, padded = tmp_path / "compact", tmp_path / "padded"
    runs.assert_near(runs.tensors(compact), runs.tensors(padded), atol=1e-5)


def test_another_config_in_the_same_workdir_is_refused(tmp_path):
    config = TINY.replace(num_epochs=1)
    _train(tmp_path, config)
    with pytest.raises(ValueError, match="seed: 0 and 1"):
        _train(tmp_path, config.replace(seed=1))


def test_validation_keeps_the_best_and_stops_early(tmp_path):
    config = TINY.replace(
        num_epochs=30,
        learning_rate=0.05,
        decay="constant",
        validation_fraction=0.2,
        early_stopping=2,
    )
    metrics = _train(tmp_path, config)
    values = [entry["P@1"] for entry in runs.entries(tmp_path)]
    assert len(values) < 30
    assert metrics["P@1"] == max(values)
    assert max(values[-2:]) <= max(values[:-2])


TEXTS = {
    0: "sparse rows of features",
    1: "neural network training",
    2: "library catalogue subjects",
}


@pytest.fixture
def text_folder(tmp_path):
    """Returns a folder of JSON lines in which a word decides the label."""
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split, number in (("trn", 300), ("tst", 60)):
        with gzip.open(folder / f"{split}.json.gz", "wt") as lines:
            for _ in range(number):
                label = int(rng.integers(3))
                words = rng.permutation(TEXTS[label].split()).tolist()
                row = {"title": words[0], "content": " ".join(words[1:])}
                lines.write(json.dumps({**row, "target_ind": [label]}) + "\n")
    with gzip.open(folder / "lbl.json.gz", "wt") as lines:
        for name in ("features", "networks", "libraries"):
            lines.write(json.dumps({"title": name}) + "\n")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("hashing", [0, 500])
def test_commands_on_raw_text(text_folder, tmp_path, hashing):
    """The three commands, as a user types them."""
    path = tmp_path / "run"
    flags = [
        f"--data_dir={text_folder}",
        f"--hash_buckets={hashing}",
        "--num_epochs=15",
        "--batch_size=32",
        "--hidden_units=16",
        "--learning_rate=0.02",
        "--metric_ks=1,3",
    ]
    words = [f"--workdir={path}"]
    output = runs.run(runs.command("tfxml.train", *words, *flags))
    assert "P@1    P@3" in output
    assert runs.entries(path)[-1]["P@1"] == 100.0
    output = runs.run(runs.command("tfxml.evaluate", *words, "--deciles"))
    assert "100.00" in output and "decile" in output
    lines = "".join(
        json.dumps({"uid": uid, "text": text}) + "\n"
        for uid, text in TEXTS.items()
    )
    predict_words = runs.command("tfxml.predict", *words, "--k=2")
    output = runs.run(predict_words, lines)
    answers = [json.loads(line) for line in output.splitlines()]
    assert [a["label_ids"][0] for a in answers] == [0, 1, 2]
    names = ["features", "networks", "libraries"]
    assert [a["label_names"][0] for a in answers] == names
    assert [a["uid"] for a in answers] == [0, 1, 2]
    singly = runs.run([*predict_words, "--batch_size=1"], lines)
    for one, other in zip(
        map(json.loads, singly.splitlines()), answers, strict=True
    ):
        assert one["label_ids"] == other["label_ids"]
        np.testing.assert_allclose(one["scores"], other["scores"], atol=2e-6)


def test_tensorboard_gets_all_of_a_run(tmp_path):
    config = TINY.replace(num_epochs=2)
    metrics = train_and_evaluate.train(
        config, str(tmp_path), log_to=["tensorboard", "profile"]
    )
    folder = tmp_path / "tensorboard"
    assert list(folder.glob("plugins/profile/*/*.xplane.pb"))
    (path,) = (one for one in folder.iterdir() if one.is_file())
    events = [
        event_pb2.Event.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(str(path))
    ]
    values = [value for event in events for value in event.summary.value]
    found = {}
    for value in values:
        plugin = value.metadata.plugin_data.plugin_name
        found.setdefault(plugin, {})[value.tag] = value.tensor
    last = float(tf.make_ndarray(found["scalars"]["P@1"]))
    assert last == pytest.approx(metrics["P@1"])
    run = restore.restore(str(tmp_path), tf.distribute.get_strategy())
    weights = run.model.named_variables()
    assert set(found["histograms"]) == {
        name for name, w in weights.items() if w.dtype.startswith("float")
    }
    for name, tensor in found["histograms"].items():
        buckets = tf.make_ndarray(tensor)  # left, right, how many
        assert buckets[:, 2].sum() == np.prod(weights[name].shape)
    text = tf.make_ndarray(found["text"]["examples"]).item().decode()
    assert text.startswith("| true | predicted |")
    assert text.count("\n") == 6
    assert any(event.graph_def for event in events)
    assert any("hparams" in plugin for plugin in found)


@pytest.mark.slow
def test_mlflow_gets_one_run_of_a_folder(tmp_path, monkeypatch):
    """Recipe, metrics of each epoch; a run that goes on is the same there."""
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    folder = tmp_path / "it's"
    for num_epochs in (1, 2):
        config = TINY.replace(num_epochs=num_epochs, decay="constant")
        metrics = train_and_evaluate.train(
            config, str(folder), log_to=["mlflow"]
        )
    client = mlflow.MlflowClient("sqlite:///mlflow.db")
    experiment = client.get_experiment_by_name("tfxml")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["head"] == config.head
    assert run.data.metrics["P_at_1"] == pytest.approx(metrics["P@1"])
    epochs = client.get_metric_history(run.info.run_id, "epoch")
    assert [entry.value for entry in epochs] == [1, 2]


def test_a_folder_without_a_run_is_refused(tmp_path):
    done = runs.finished(
        runs.command("tfxml.evaluate", f"--workdir={tmp_path}")
    )
    assert done.returncode != 0
    assert "must be a folder that training wrote" in done.stderr
    assert "Traceback" not in done.stderr
