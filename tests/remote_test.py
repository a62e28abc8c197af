"""Folders elsewhere: a file system of TensorFlow's that is no folder here."""

import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import (
    config,
    drop,
    evaluate,
    grow,
    merge,
    prepare,
    probe,
    report,
    rerank,
)
from tfxml.data import requests
from tfxml.run import (
    fitted_scores,
    mirror,
    numpy_predictor,
    placement,
    remote,
    restore,
    run_lock,
    set_choices,
    train_and_evaluate,
)

CONFIG = config.Config(
    head="mach",
    num_repetitions=2,
    num_encoders=2,
    num_buckets=9,
    hidden_units=(4,),
    batch_size=16,
    num_epochs=2,
    steps_per_loop=1,
    checkpoint_steps=1,
    dropout=0.0,
)
ROWS = "".join(f"{i % 5} {i % 7}:1\n" for i in range(30))
gfile = tf.io.gfile


def write(url, text):
    gfile.makedirs(url.rpartition("/")[0])
    with gfile.GFile(url, "w") as file:
        file.write(text)


@pytest.fixture
def elsewhere(request, monkeypatch):
    """Returns a folder elsewhere with a data set; nothing is known of it."""
    url = f"ram://{request.node.name}"
    for split in ("train", "test"):
        write(f"{url}/data/{split}.txt", f"30 7 5\n{ROWS}")
    forget(monkeypatch)
    return url


def forget(monkeypatch):
    """Makes this process as one that has just started."""
    monkeypatch.setattr(remote, "_mirrors", {})


def copied(url, folder):
    """Returns a folder of this machine with what lies elsewhere."""
    for parent, _, files in gfile.walk(url):
        for name in files:
            target = folder / parent[len(url) + 1 :] / name
            target.parent.mkdir(parents=True, exist_ok=True)
            gfile.copy(f"{parent}/{name}", str(target))
    return folder


@pytest.mark.slow
def test_every_command_works_elsewhere(
    elsewhere, tmp_path, monkeypatch, capsys
):
    run, data = f"{elsewhere}/run", f"{elsewhere}/data"
    metrics = train_and_evaluate.train(CONFIG, run, data)
    assert f"workdir   {run}\n" in capsys.readouterr().out
    forget(monkeypatch)
    assert evaluate.evaluate(run).result() == metrics
    prepare.prepare(CONFIG, data, f"{elsewhere}/records", num_shards=2)
    drop.drop(run, f"{elsewhere}/less", [1])
    write(f"{elsewhere}/more/train.txt", f"30 7 6\n{ROWS}")
    write(f"{elsewhere}/more/test.txt", f"30 7 6\n{ROWS}")
    grow.grow(run, f"{elsewhere}/grown", f"{elsewhere}/more")
    forget(monkeypatch)
    assert evaluate.evaluate(run, data_dir=f"{elsewhere}/records").result() == (
        metrics
    )
    less = restore.restore(f"{elsewhere}/less", tf.distribute.get_strategy())
    assert less.model.head.dropped.tolist() == [1]
    grown = copied(f"{elsewhere}/grown", tmp_path / "grown")
    assert runs.last_step(grown) == "step_00000000"
    # The folders here and there hold the same files.
    local = tmp_path / "run"
    train_and_evaluate.train(
        CONFIG, str(local), str(copied(data, tmp_path / "data"))
    )
    names = [
        {p.relative_to(root).as_posix() for p in root.rglob("*")}
        for root in (local, copied(run, tmp_path / "there"))
    ]
    assert names[0] == names[1]
    runs.assert_near(runs.tensors(local), runs.tensors(tmp_path / "there"))


@pytest.mark.slow
def test_pages_are_written_elsewhere(elsewhere, tmp_path, monkeypatch):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    run, data = f"{elsewhere}/runs/a", f"{elsewhere}/data"
    train_and_evaluate.train(CONFIG, run, data)
    monkeypatch.chdir(tmp_path)
    for write, place in (
        (lambda: report.write(run), f"{run}/report.html"),
        (lambda: report.write(run, output=f"{elsewhere}/b.html"), "b.html"),
        (
            lambda: report.write_leaderboard(f"{elsewhere}/runs"),
            "runs/leaderboard.html",
        ),
    ):
        forget(monkeypatch)
        write()
        url = place if place.startswith(run) else f"{elsewhere}/{place}"
        with gfile.GFile(url) as file:
            assert file.read().startswith("<!")
    assert list(tmp_path.iterdir()) == []  # no folder of the url's name


@pytest.mark.slow
def test_a_reranked_run_is_written_elsewhere(elsewhere, monkeypatch):
    run, data = f"{elsewhere}/run", f"{elsewhere}/data"
    train_and_evaluate.train(CONFIG, run, data)
    forget(monkeypatch)
    options = {"reranker_passes": 1, "num_hard_negatives": 2}
    metrics = rerank.rerank(run, f"{elsewhere}/reranked", options)
    forget(monkeypatch)
    loss = probe.rates(CONFIG, data, num_steps=2).losses
    assert np.isfinite(loss).all()
    forget(monkeypatch)
    assert report.write(run, data_dir=data, output=f"{elsewhere}/a.html")
    forget(monkeypatch)
    found = evaluate.evaluate(f"{elsewhere}/reranked").result()
    assert found["P@1"] == metrics["P@1"]


@pytest.mark.slow
def test_groups_of_repetitions_meet_elsewhere(elsewhere, monkeypatch):
    run, data = f"{elsewhere}/run", f"{elsewhere}/data"
    for group in range(2):
        forget(monkeypatch)
        where = placement.Placement(group, 2)
        train_and_evaluate.train(CONFIG, run, data, placement=where)
    forget(monkeypatch)
    merge.merge(run)
    forget(monkeypatch)
    assert evaluate.evaluate(run).result()["P@1"] >= 0


@pytest.mark.parametrize(
    "at", [11, *(pytest.param(n, marks=pytest.mark.slow) for n in (3, 20, 28))]
)
def test_lost_at_any_operation_a_run_ends_the_same(
    at, elsewhere, tmp_path, monkeypatch
):
    """Training ends at one of what it writes elsewhere, as if killed."""
    run, data = f"{elsewhere}/run", f"{elsewhere}/data"
    count = 0
    actions = {name: getattr(gfile, name) for name in ("rename", "remove")}

    def counted(name):
        def act(source, *arguments, **words):
            nonlocal count
            count += source.startswith(run)
            if count == at:
                raise KeyboardInterrupt
            return actions[name](source, *arguments, **words)

        return act

    for name in actions:
        monkeypatch.setattr(gfile, name, counted(name))
    with pytest.raises(KeyboardInterrupt):
        train_and_evaluate.train(CONFIG, run, data)
    at = 0
    forget(monkeypatch)
    metrics = train_and_evaluate.train(CONFIG, run, data)
    forget(monkeypatch)
    found = numpy_predictor.open_run(
        run, "auto", lambda _: set_choices.SetChoice(k=2), False
    )
    row = requests.Request(None, np.array([3]), np.ones(1, np.float32), 0)
    assert len(found.predict([row])[0]["label_ids"]) == 2
    local = tmp_path / "run"
    assert metrics == train_and_evaluate.train(
        CONFIG, str(local), str(copied(data, tmp_path / "data"))
    )
    runs.assert_near(
        runs.tensors(local), runs.tensors(copied(run, tmp_path / "there"))
    )


def test_a_run_stays_whole_while_it_is_calibrated(
    elsewhere, tmp_path, monkeypatch
):
    url = f"{elsewhere}/run"
    copy = mirror.Mirror(url, str(tmp_path))
    copy.path.mkdir()
    for name in ("config.json", "manifest.json"):
        (copy.path / name).write_text("{}")
    copy.publish()
    (copy.path / fitted_scores.NAME).write_text("{}")
    (copy.path / "manifest.json").write_text('{"noted": []}')

    def lost(source, *unused, **words):
        if source.startswith(f"{url}/manifest.json"):
            raise KeyboardInterrupt

    monkeypatch.setattr(gfile, "rename", lost)
    with pytest.raises(KeyboardInterrupt):
        copy.publish()
    assert gfile.exists(f"{url}/manifest.json")


def test_another_training_takes_over(elsewhere, tmp_path):
    url = f"{elsewhere}/run"
    first, second = (mirror.Mirror(url, str(tmp_path / x)) for x in "ab")
    first.claim("")
    first.path.mkdir(parents=True)
    (first.path / "x").write_text("1")
    first.publish()
    second.fetch()
    assert (second.path / "x").read_text() == "1"
    second.claim("")
    with pytest.raises(run_lock.LockedError, match="taken over by process"):
        first.publish()
    second.publish()
    second.release("")
    assert gfile.listdir(url) == ["x"]


def test_what_cannot_be_reached_is_named(monkeypatch):
    forget(monkeypatch)

    def fails(url):
        raise tf.errors.PermissionDeniedError(None, None, "403\nlong")

    monkeypatch.setattr(gfile, "isdir", fails)
    with pytest.raises(OSError, match="gs://b/x: PermissionDeniedError: 403$"):
        remote.local("gs://b/x")
