"""Prepared data is the data, whatever happened while it was prepared."""

import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tfxml import config as config_lib
from tfxml import prepare
from tfxml.data import bad_rows
from tfxml.data.feeding import batching, pipeline
from tfxml.data.formats import folder
from tfxml.data.records import preparing, record_source
from tfxml.run import datasets, splits

ROOT = pathlib.Path(__file__).resolve().parents[1]
N, D, L = 300, 40, 12


def write_xc(path, num_rows=N, seed=0):
    rng = np.random.default_rng(seed)
    lines = [f"{num_rows} {D} {L}"]
    for _ in range(num_rows):
        labels = np.unique(rng.integers(0, L, rng.integers(0, 4)))
        features = np.unique(rng.integers(0, D, rng.integers(0, 9)))
        pairs = " ".join(f"{i}:{rng.random():.4f}" for i in features)
        lines.append(f"{','.join(map(str, labels))} {pairs}")
    path.write_text("\n".join(lines) + "\n")


def write_text(path, num_rows=N, seed=0):
    rng = np.random.default_rng(seed)
    words = [f"word{i}" for i in range(60)]
    with open(path, "w") as lines:
        for _ in range(num_rows):
            title = " ".join(rng.choice(words, rng.integers(0, 12)))
            labels = rng.integers(0, L, rng.integers(0, 4)).tolist()
            lines.write(
                json.dumps({"title": title, "target_ind": labels}) + "\n"
            )


@pytest.fixture(
    params=[pytest.param("xc_text", marks=pytest.mark.slow), "json_lines"]
)
def data_dir(request, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    if request.param == "xc_text":
        write_xc(data / "train.txt")
        write_xc(data / "test.txt", 50, seed=1)
        (data / "labels.txt").write_text("".join(f"l{i}\n" for i in range(L)))
    else:
        write_text(data / "trn.json")
        write_text(data / "tst.json", 50, seed=1)
        names = (json.dumps({"title": f"l{i}"}) + "\n" for i in range(L))
        (data / "lbl.json").write_text("".join(names))
    return str(data)


def contents(path):
    return {
        p.relative_to(path): p.read_bytes()
        for p in sorted(pathlib.Path(path).rglob("*"))
        if p.is_file()
    }


def batches_of(source):
    return batching.ByInstances(source.num_instances, 16)


def batches(data, num_steps, shard=pipeline.WHOLE):
    found = pipeline.training(
        data.train, batches_of(data.train), 3, 0, num_steps, shard
    )
    return [
        [
            batch.instances.numpy().tolist(),
            *(rows.to_list() for rows in batch.inputs.values()),
            batch.label_ids.to_list(),
        ]
        for batch in found
    ]


@pytest.mark.parametrize("fraction", [0.0, 0.2])
def test_training_gets_the_same_batches_from_disk_as_from_memory(
    data_dir, tmp_path, fraction
):
    config = config_lib.Config(validation_fraction=fraction)
    prepare.prepare(config, data_dir, str(tmp_path / "out"), num_shards=5)
    in_memory = datasets.training_data(config, data_dir)
    on_disk = datasets.training_data(config, str(tmp_path / "out"))
    assert batches(in_memory, 30) == batches(on_disk, 30)
    np.testing.assert_array_equal(in_memory.label_counts, on_disk.label_counts)
    assert in_memory.label_names == on_disk.label_names
    for name in ("num_features", "num_labels", "num_train", "form", "is_text"):
        assert getattr(in_memory.facts, name) == getattr(on_disk.facts, name)
    one, other = (
        [
            batch.inputs["feature_ids"].to_list()
            for batch in pipeline.evaluation(data.evaluation, 16)
        ]
        for data in (in_memory, on_disk)
    )
    assert one == other


def test_the_order_goes_on_at_any_step(data_dir, tmp_path):
    prepare.prepare(config_lib.Config(), data_dir, str(tmp_path / "out"))
    data = datasets.training_data(config_lib.Config(), str(tmp_path / "out"))
    whole = batches(data, 25)
    for first in (1, 7, 24):
        rest = pipeline.training(
            data.train, batches_of(data.train), 3, first, 25
        )
        ids = [batch.instances.numpy().tolist() for batch in rest]
        assert ids == [batch[0] for batch in whole[first:]]


def test_any_number_of_workers_and_shards_reads_the_same_epoch(
    data_dir, tmp_path
):
    config = config_lib.Config()
    prepare.prepare(config, data_dir, str(tmp_path / "out"), num_shards=3)
    data = datasets.training_data(config, str(tmp_path / "out"))
    steps_per_epoch = batches_of(data.train).steps_per_epoch
    for num_workers in (1, 2, 3):
        ids = []
        for worker in range(num_workers):
            shard = pipeline.Shard(num_workers, worker, 1)
            ids += [
                i
                for batch in batches(data, steps_per_epoch, shard)
                for i in batch[0]
            ]
        assert sorted(ids) == list(range(N))


def test_processes_and_one_process_write_the_same_bytes(data_dir, tmp_path):
    config = config_lib.Config()
    for workers in (1, 2):
        prepare.prepare(
            config, data_dir, str(tmp_path / f"out{workers}"), 4, workers
        )
    assert contents(tmp_path / "out1") == contents(tmp_path / "out2")


def test_the_card_counts_what_there_is(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.txt").write_text(
        "6 9 4\n0,1 1:1 2:1\n0,1 1:1 2:1\n 3:1\n2\n0 4:1\n0,1 1:1 2:1\n"
    )
    (data / "test.txt").write_text("1 9 4\n0 1:1\n")
    manifest = prepare.prepare(
        config_lib.Config(), str(data), str(tmp_path / "out"), num_shards=2
    )
    facts = manifest["splits"]["train"]
    assert facts["num_duplicates"] == 2
    assert facts["labels_per_instance"] == [[0, 1], [1, 2], [2, 3]]
    assert facts["features_per_instance"] == [[0, 1], [1, 2], [2, 3]]
    card = (tmp_path / "out" / "DATA_CARD.md").read_text()
    assert "| train | 6 | 1.33 (0 to 2) | 1.33 (0 to 2) | 1 | 1 | 2 | 0 |" in (
        card
    )
    assert "| decile 1, 1 labels | 4 to 4 | 50.0% |" in card


def test_other_settings_are_refused(data_dir, tmp_path):
    out = str(tmp_path / "out")
    prepare.prepare(config_lib.Config(), data_dir, out)
    other = config_lib.Config(normalize_rows=False, min_df=7)
    with pytest.raises(ValueError, match="prepared with the settings"):
        datasets.training_data(other, out)
    with pytest.raises(ValueError, match="the same preparation"):
        prepare.prepare(other, data_dir, out)


def test_other_options_of_reading_are_refused(tmp_path):
    """They are part of what was prepared; left out, they are as they were."""
    data, out = tmp_path / "data", str(tmp_path / "out")
    data.mkdir()
    rows = [{"title": "cod law", "text": "a court", "labels": ["x"]}] * 9
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (data / "train.jsonl").write_text(lines)

    def config(**reading):
        return config_lib.Config(min_df=1, **reading)

    titles = config(text_columns=("title",), test_fraction=0.3)
    manifest = prepare.prepare(titles, str(data), out)
    assert manifest["reading"] == {
        "text_columns": ["title"],
        "test_fraction": 0.3,
    }
    for same in (config(), titles, config(test_fraction=0.3)):
        found = datasets.training_data(same, out)
        assert found.facts.num_features == 2
    for other in (
        {"text_columns": ("text",)},
        {"test_fraction": 0.5},
        {"split_seed": 3},
    ):
        with pytest.raises(ValueError, match="as the data were prepared"):
            datasets.training_data(config(**other), out)
    with pytest.raises(ValueError, match="whose reading are others"):
        prepare.prepare(config(test_fraction=0.3), str(data), out)


def test_dense_features_beside_are_prepared(tmp_path):
    data, out = tmp_path / "data", str(tmp_path / "out")
    data.mkdir()
    write_xc(data / "train.txt")
    dense = np.random.default_rng(4).normal(size=(N, 3)).astype(np.float32)
    np.save(data / "dense_train.npy", dense)
    config = config_lib.Config(normalize_rows=False)
    manifest = prepare.prepare(config, str(data), out)
    assert manifest["num_features"] == D + 3
    assert "dense_train.npy" in manifest["sources"]
    indices = tf.range(N, dtype=tf.int64)
    rows, _ = record_source.RecordSource(out, "train").rows(indices)
    in_memory, _ = datasets.training_data(config, str(data)).train.rows(indices)
    for name, values in in_memory.items():
        np.testing.assert_array_equal(
            values.flat_values, rows[name].flat_values
        )
    values = rows["feature_values"][5].numpy()
    np.testing.assert_array_equal(values[-3:], dense[5])


def test_a_folder_of_version_1_is_read_as_it_was_made(data_dir, tmp_path):
    config, out = config_lib.Config(), tmp_path / "out"
    expected = prepare.prepare(config, data_dir, str(out))
    manifest = json.loads((out / "records.json").read_text())
    manifest["version"] = 1
    del manifest["sha256"]
    is_text = manifest["is_text"]
    if is_text:
        del manifest["settings"]["unicode_normalization"]
    (out / "records.json").write_text(json.dumps(manifest))
    assert prepare.prepare(config, data_dir, str(out)) == expected
    assert datasets.training_data(config, str(out)).train.num_instances == N
    if is_text:
        other = config_lib.Config(unicode_normalization="NFC")
        with pytest.raises(ValueError, match="with the settings of the run"):
            datasets.training_data(other, str(out))


def test_a_source_that_changed_is_refused(data_dir, tmp_path):
    out = str(tmp_path / "out")
    prepare.prepare(config_lib.Config(), data_dir, out)
    path = next(pathlib.Path(data_dir).glob("t*st.*"))
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(ValueError, match="sources"):
        prepare.prepare(config_lib.Config(), data_dir, out)


def test_a_folder_with_other_files_is_refused(data_dir, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match="thesis.tex"):
        prepare.prepare(config_lib.Config(), data_dir, str(tmp_path / "out"))


def test_a_folder_that_is_not_complete_is_refused(data_dir, tmp_path):
    out = tmp_path / "out"
    prepare.prepare(config_lib.Config(), data_dir, str(out))
    (out / "records.json").rename(out / "plan.json")
    with pytest.raises(ValueError, match="rerun the same command"):
        datasets.training_data(config_lib.Config(), str(out))


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    "calls", (1, 4, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 6)))
)
def test_stopped_after_any_write_it_goes_on_to_the_same_bytes(
    data_dir, tmp_path, calls
):
    """Stops between two runs of rows, and in a shard that was cut."""
    source = folder.detect(data_dir)
    settings = splits.settings(config_lib.Config(), source.num_features is None)

    def make(name, progress=lambda *_: None):
        return preparing.prepare(
            source, str(tmp_path / name), settings, "error", 4, 1, progress
        )

    left = [calls]

    def stop(what, done, total):
        left[0] -= 1
        if not left[0]:
            raise Stop

    expected = make("whole")
    with pytest.raises(Stop):
        make("stopped", stop)
    for path in sorted((tmp_path / "stopped").glob("*.units"))[-1:]:
        path.write_bytes(path.read_bytes()[:-2])  # a disk that lost the end
    assert make("stopped") == expected
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_killed_at_random_it_goes_on_to_the_same_bytes(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    write_text(data / "trn.json", 60_000)
    write_text(data / "tst.json", 1000, seed=1)
    command = [
        sys.executable,
        *("-m", "tfxml.prepare", f"--data_dir={data}", "--num_shards=12"),
        "--num_workers=2",
    ]

    def start(name):
        return subprocess.Popen(
            [*command, f"--output={tmp_path / name}"],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    begin = time.monotonic()
    assert start("whole").wait() == 0
    seconds = time.monotonic() - begin
    shutil.rmtree(tmp_path / "killed", ignore_errors=True)
    rng = random.Random(0)
    for _ in range(6):
        process = start("killed")
        time.sleep(rng.uniform(0.1, 0.9) * seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start("killed").wait() == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_bad_rows_are_skipped_and_told(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    lines = ["6 9 4", "0 1:1", "7 1:1", "1 2:1", "1 2:nan", "2 99:1", "3 3:1"]
    (data / "train.txt").write_text("\n".join(lines) + "\n")
    (data / "test.txt").write_text("1 9 4\n0 1:1\n")
    with pytest.raises(ValueError, match="train.txt:5: found value .nan"):
        prepare.prepare(
            config_lib.Config(), str(data), str(tmp_path / "none"), 1
        )
    config = config_lib.Config(bad_rows="skip")
    manifest = prepare.prepare(config, str(data), str(tmp_path / "out"), 3)
    facts = manifest["splits"]["train"]
    assert facts["num_instances"] == 3
    assert sorted(facts["bad_rows"].values()) == [1, 1, 1]
    on_disk = datasets.training_data(config, str(tmp_path / "out"))
    in_memory = datasets.training_data(config, str(data))
    assert "skipped   3 bad rows" in capsys.readouterr().out
    assert batches(on_disk, 2) == batches(in_memory, 2)


def test_pairs_by_row_number_and_skipped_rows_do_not_go_together(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.txt").write_text("1 9 4\n0 1:1\n")
    (data / "test.txt").write_text("2 9 4\n0 1:nan\n1 1:1\n")
    (data / "filter_labels_test.txt").write_text("1 1\n")
    config = config_lib.Config(bad_rows=bad_rows.POLICIES[1])
    with pytest.raises(ValueError, match="1 rows skipped in test"):
        datasets.training_data(config, str(data))
    prepare.prepare(config, str(data), str(tmp_path / "out"))
    with pytest.raises(ValueError, match="1 rows skipped in test"):
        datasets.training_data(config, str(tmp_path / "out"))


def test_a_mapped_source_runs_without_python(data_dir, tmp_path):
    """As the graph of a parameter server's worker has to."""
    prepare.prepare(config_lib.Config(), data_dir, str(tmp_path / "out"))
    source = record_source.RecordSource(
        tmp_path / "out", "train", is_mapped=True
    )
    graph = tf.function(
        pipeline.training_batch(source, 3),
        input_signature=[tf.TensorSpec([], tf.int64)] * 3,
    ).get_concrete_function()
    definition = graph.graph.as_graph_def()
    nodes = [
        definition.node,
        *(f.node_def for f in definition.library.function),
    ]
    ops = {node.op for some in nodes for node in some}
    assert "ImmutableConst" in ops
    assert not ops & {"PyFunc", "PyFuncStateless", "EagerPyFunc"}
