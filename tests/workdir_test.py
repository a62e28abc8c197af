"""A run directory: begun whole or not at all, and checked when it is read."""

import json
import shutil

import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml import evaluate, prepare
from tfxml.data import data_errors
from tfxml.run import (
    evaluator_task,
    restore,
    run_lock,
    run_path,
    train_and_evaluate,
    workdir,
)

CONFIG = config_lib.Config(
    head="mach",
    num_repetitions=2,
    num_buckets=9,
    hidden_units=(),
    synthetic_labels=20,
    synthetic_train=60,
    synthetic_test=30,
    batch_size=16,
    num_epochs=2,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("workdir") / "run"
    train_and_evaluate.train(CONFIG, str(path))
    return path


@pytest.fixture
def run(trained, tmp_path):
    """Returns a run that a test may damage."""
    shutil.copytree(trained, tmp_path / "run")
    return tmp_path / "run"


def _restored(path):
    return restore.restore(str(path), tf.distribute.get_strategy())


def _constant(path):
    """Returns the names of the files that stay the same."""
    changing = {"metrics.jsonl", "result.json"}
    return sorted(
        file.relative_to(path).as_posix()
        for file in path.rglob("*")
        if file.is_file() and file.name not in changing
    )


def test_every_file_has_a_checksum(trained):
    """Also those that prediction would not miss, and those of checkpoints."""
    manifest = json.loads((trained / "manifest.json").read_text())
    (step,) = (trained / "checkpoints").iterdir()
    beside = json.loads((step / "checkpoint.json").read_text())
    prefix = f"checkpoints/{step.name}/"
    sealed = ["manifest.json", f"{prefix}checkpoint.json"]
    names = [*manifest["files"], *(prefix + name for name in beside["files"])]
    assert sorted([*names, *sealed]) == _constant(trained)


DAMAGES = {
    "flipped": lambda content: (
        content[: len(content) // 2]
        + bytes([content[len(content) // 2] ^ 4])
        + content[len(content) // 2 + 1 :]
    ),
    "cut": lambda content: content[: len(content) // 2],
    "emptied": lambda content: b"",
    "gone": None,
}
# What is read by nothing but `--flagfile`.
READ = [
    "config.json",
    "head.json",
    "label_counts.npy",
    "label_names.jsonl",
    "manifest.json",
    "run.json",
    "checkpoint.json",
    "model.index",
    "model.data-00000-of-00001",
]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READ)
def test_a_damaged_file_is_named(name, damage, run):
    (path,) = run.rglob(name)
    change = DAMAGES[damage]
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    if (name, damage) == ("checkpoint.json", "gone"):
        name = "hold a checkpoint"  # an older one half removed
    with pytest.raises(ValueError, match=name):
        _restored(run)


def test_values_that_would_do_are_refused_too(run):
    """Another order of names, other counts: nothing else would tell."""
    counts = run / "label_counts.npy"
    np.save(counts, np.load(counts)[::-1])
    with pytest.raises(data_errors.DataError, match="label_counts.npy: found"):
        _restored(run)


@pytest.mark.parametrize(
    "content", [None, b"", b'{"step": 4', b"\xff\x00", b"[1]\n"]
)
def test_metrics_are_made_again_from_the_checkpoint(content, run):
    path = run / "metrics.jsonl"
    wanted = path.read_text()
    if content is None:
        path.unlink()
    else:
        lines = wanted.splitlines(keepends=True)
        path.write_bytes(lines[0].encode() + content)
    (run / "result.json").unlink()
    train_and_evaluate.train(CONFIG, str(run))
    assert path.read_text() == wanted
    assert (run / "result.json").exists()


@pytest.mark.parametrize(
    "content",
    [b"[]\n", b"null\n", b"\xff\n", b'{"P@1": 5}\n', b'{"step": "x"}\n'],
)
def test_metrics_that_make_no_sense_are_named(content, tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(content)
    with pytest.raises(data_errors.DataError, match="metrics.jsonl"):
        workdir.Workdir(tmp_path).read_metrics()
    (tmp_path / "result.json").write_bytes(content.replace(b"5", b"[]"))
    if b"step" not in content:
        with pytest.raises(data_errors.DataError, match="result.json"):
            workdir.Workdir(tmp_path).read_result()


def test_a_line_is_added_behind_whole_lines(tmp_path):
    target = workdir.Workdir(tmp_path)
    target.append_metrics({"step": 1})
    with open(tmp_path / "metrics.jsonl", "a") as lines:
        lines.write('{"step": 2')  # and the disk was full
    target.append_metrics({"step": 3})
    assert [one["step"] for one in runs.entries(tmp_path)] == [1, 3]


def test_a_beginning_is_whole_or_not_there(tmp_path):
    target = workdir.Workdir(tmp_path / "run")
    facts = workdir.Facts(3, 2, 1, "ragged", False, "")
    with pytest.raises(KeyError):
        with target.beginning() as new:
            new.start(CONFIG, facts, {})
            raise KeyError
    assert not target.is_started
    assert list((tmp_path / "run").iterdir()) == []
    with target.beginning() as new:
        new.start(CONFIG, facts, {})
        new.write_dropped_labels(np.array([1]))
    assert target.read() == (CONFIG, facts)
    assert target.read_dropped_labels().tolist() == [1]
    # A second one takes its place, and nothing of the first stays.
    with target.beginning() as new:
        new.start(CONFIG, facts, {})
        assert target.read_dropped_labels().tolist() == [1]
    assert target.read_dropped_labels().tolist() == []
    assert not (tmp_path / "run" / "dropped_labels.npy").exists()


def test_checkpoints_without_their_run_are_not_trained_over(run):
    (run / "manifest.json").unlink()
    with pytest.raises(data_errors.DataError, match="without the manifest"):
        train_and_evaluate.train(CONFIG, str(run))
    assert runs.tensors(run)


@pytest.mark.parametrize("name", ["config.json", "checkpoints", "result.json"])
def test_files_of_something_else_are_not_replaced(name, tmp_path):
    """As of another program, in whose folder a run is begun."""
    folder = tmp_path / name if name == "checkpoints" else tmp_path
    folder.mkdir(exist_ok=True)
    file = folder / ("theirs.pt" if name == "checkpoints" else name)
    file.write_text("{}")
    with pytest.raises(data_errors.DataError, match=f"found {name} without"):
        train_and_evaluate.train(CONFIG, str(tmp_path))
    assert file.read_text() == "{}"
    assert not (tmp_path / "manifest.json").exists()


def test_other_data_in_a_run_directory_are_refused(tmp_path):
    for name, shift in (("old", 0), ("new", 1)):
        (tmp_path / name).mkdir()
        rows = [f"{i % 5} {(i + shift) % 7}:1" for i in range(40)]
        for split in ("train", "test"):
            text = "\n".join(["40 7 5", *rows]) + "\n"
            (tmp_path / name / f"{split}.txt").write_text(text)
    config = CONFIG.replace(head="sigmoid", num_epochs=1)
    path = str(tmp_path / "run")
    metrics = train_and_evaluate.train(config, path, str(tmp_path / "old"))
    with pytest.raises(ValueError) as raised:
        train_and_evaluate.train(config, path, str(tmp_path / "new"))
    for word in (tmp_path / "old", tmp_path / "new", "other training rows"):
        assert str(word) in str(raised.value)
    # Moved, they are the same.
    (tmp_path / "old").rename(tmp_path / "moved")
    assert (
        train_and_evaluate.train(config, path, str(tmp_path / "moved"))
        == metrics
    )


def _write_named(folder, names):
    folder.mkdir()
    rows = [f"{names.index('abcde'[i % 5])} {i % 5}:1" for i in range(40)]
    for split in ("train", "test"):
        text = "\n".join(["40 7 5", *rows]) + "\n"
        (folder / f"{split}.txt").write_text(text)
    (folder / "labels.txt").write_text("\n".join(names) + "\n")
    return str(folder)


def test_labels_in_another_order(tmp_path):
    """Training refuses them; evaluation maps them by their names."""
    old = _write_named(tmp_path / "old", "abcde")
    new = _write_named(tmp_path / "new", "cabed")
    config = CONFIG.replace(head="sigmoid", learning_rate=0.5)
    path = str(tmp_path / "run")
    metrics = train_and_evaluate.train(config, path, old)
    assert metrics["P@1"] == 100.0
    with pytest.raises(ValueError, match="other label names"):
        train_and_evaluate.train(config, path, new)
    assert evaluate.evaluate(path, data_dir=new).result() == metrics
    other = _write_named(tmp_path / "other", "cabed")
    (tmp_path / "other" / "labels.txt").write_text("c\na\nb\ne\nx\n")
    assert evaluate.evaluate(path, data_dir=other).result() != metrics


def test_weights_that_are_not_finite_end_training(tmp_path, capsys):
    """The last good checkpoint stays, and the words say what to change."""
    path = str(tmp_path / "run")
    config = CONFIG.replace(head="sigmoid", optimizer="sgd")
    config = config.replace(learning_rate=1e38, warmup_steps=5)
    with pytest.raises(FloatingPointError, match="lower --learning_rate|Lower"):
        train_and_evaluate.train(config, path)
    steps = sorted((tmp_path / "run").glob("checkpoints/step_*"))
    for step in steps:
        values = runs.tensors(tmp_path / "run")
        assert all(np.isfinite(v).all() for v in values.values()), step


@pytest.mark.parametrize("kind", ["file", "dangling"])
def test_a_run_directory_that_cannot_be_is_told_at_once(
    kind, tmp_path, monkeypatch
):
    path = tmp_path / "run"
    if kind == "file":
        path.touch()
    else:
        path.symlink_to(tmp_path / "none" / "x")
    monkeypatch.setattr(train_and_evaluate.datasets, "training_data", None)
    with pytest.raises(OSError, match="run"):
        train_and_evaluate.train(CONFIG, str(path))


def test_an_evaluator_says_what_it_waits_for(run, monkeypatch, capsys):
    (run / "result.json").unlink()
    told = []

    def stop(seconds):
        told.append(capsys.readouterr().out)
        if len(told) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(evaluator_task.time, "sleep", stop)
    strategy = tf.distribute.get_strategy()
    for path, wanted in (
        (run.parent / "none", "waits     for a run in"),
        (run, "waits     for a checkpoint after step 8"),
    ):
        told.clear()
        with pytest.raises(KeyboardInterrupt):
            evaluator_task.follow(str(path), "", strategy)
        assert wanted in told[0] and "waits" not in told[1]


def test_one_training_at_a_time(tmp_path):
    with run_lock.RunLock(tmp_path / "run"):
        with pytest.raises(run_lock.LockedError, match="no other process"):
            train_and_evaluate.train(CONFIG, str(tmp_path / "run"))
        assert [p.name for p in (tmp_path / "run").iterdir()] == ["run.lock"]


def test_runs_of_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_path.time, "strftime", lambda form: "mach-now")
    for name in ("mach-now", "mach-now-2"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    train_and_evaluate.train(CONFIG.replace(num_epochs=1))
    assert workdir.Workdir("runs/mach-now-3").is_finished


@pytest.mark.parametrize("path", ["zz://bucket/run", "s3://b/x", "hdfs:/x"])
def test_an_unknown_scheme_is_refused_before_anything_is_written(
    path, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for words in ((path, ""), (str(tmp_path / "run"), path)):
        with pytest.raises(ValueError, match="must be a path on this m"):
            train_and_evaluate.train(CONFIG, *words)
    with pytest.raises(ValueError, match="must be a path on this m"):
        _restored(path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_data_folder_is_told_at_once(tmp_path):
    with pytest.raises(data_errors.DataError, match="none: found no such"):
        train_and_evaluate.train(
            CONFIG, str(tmp_path / "run"), str(tmp_path / "none")
        )
    assert list(tmp_path.iterdir()) == []


def test_any_name_of_a_run_directory_will_do(tmp_path):
    path = str(tmp_path / "a[1] *?'\"\n\\\u4e00{x}$~")
    metrics = train_and_evaluate.train(CONFIG.replace(num_epochs=1), path)
    assert evaluate.evaluate(path).result() == metrics


@pytest.mark.slow
def test_any_name_will_do_for_every_command(tmp_path):
    odd = tmp_path / "a[1] *?'\"\n\\\u4e00{x}$~"
    odd.mkdir()
    data = _write_named(odd / "data [2]*", "abcde")
    config = CONFIG.replace(num_epochs=1)
    prepare.prepare(config, data, str(odd / "records [3]?"))
    path = str(odd / "run [4]*")
    metrics = train_and_evaluate.train(config, path, str(odd / "records [3]?"))
    (odd / "ids [5]").write_text("1\n")
    for words in (
        ["drop", f"--ids={odd / 'ids [5]'}", f"--output={odd / 'less [6]'}"],
        ["grow", f"--data_dir={data}", f"--output={odd / 'more [7]'}"],
        ["export", "--format=keras", f"--output={odd / 'keras [8]'}"],
    ):
        runs.run(
            runs.command(f"tfxml.{words[0]}", f"--workdir={path}", *words[1:])
        )
    (odd / "in [9]").write_text('{"feature_ids": [1]}\n')
    words = [f"--input={odd / 'in [9]'}", f"--output={odd / 'out [10]'}"]
    for name in ("less [6]", "more [7]"):
        runs.run(
            runs.command("tfxml.predict", f"--workdir={odd / name}", *words)
        )
        assert len((odd / "out [10]").read_text().splitlines()) == 1
    assert evaluate.evaluate(path, data_dir=data).result() == metrics
    done = runs.finished(
        runs.command(
            *["tfxml.export", f"--workdir={path}", "--format=saved_model"],
            f"--output={odd / 'served'}",
        )
    )
    assert done.returncode == 1 and "FATAL `output` must" in done.stderr
