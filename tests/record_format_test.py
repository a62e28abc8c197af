"""Records hold exactly what was written, in whatever order they are read."""

import os
import pathlib
import subprocess
import sys

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tfxml.data import checked_files, data_errors, instances
from tfxml.data.records import (
    record_checks,
    record_files,
    record_format,
    record_source,
)

ROOT = pathlib.Path(__file__).resolve().parents[1]
LARGEST = 2**31 - 2


def rows_of(run):
    """Returns [(feature ids, bits of values, label ids), ...]."""
    bits = run.feature_values.view(np.uint32)
    found = []
    for row in range(run.num_instances):
        features = slice(*run.feature_splits[row : row + 2])
        labels = slice(*run.label_splits[row : row + 2])
        found.append(
            (
                run.feature_ids[features].tolist(),
                bits[features].tolist(),
                run.label_ids[labels].tolist(),
            )
        )
    return found


def rows_of_ragged(ids, values, labels):
    bits = values.with_values(tf.bitcast(values.values, tf.uint32))
    return list(
        zip(ids.to_list(), bits.to_list(), labels.to_list(), strict=True)
    )


def from_rows(rows):
    """Returns instances from [({id: value}, {label}), ...]."""
    features = [sorted(row) for row, _ in rows]
    labels = [sorted(row) for _, row in rows]
    values = [row[i] for row, _ in rows for i in sorted(row)]
    return instances.Instances(
        instances.splits_from_lengths(list(map(len, features))),
        np.array(sum(features, []), np.int32),
        np.array(values, np.float32),
        instances.splits_from_lengths(list(map(len, labels))),
        np.array(sum(labels, []), np.int32),
    )


IDS = st.integers(0, LARGEST) | st.sampled_from([0, 2**15 - 1, 2**15, LARGEST])
VALUES = st.sampled_from([0.0, -0.0, 1.0]) | st.floats(width=32)
ROWS = st.lists(
    st.tuples(
        st.dictionaries(IDS, VALUES, max_size=5), st.sets(IDS, max_size=5)
    ),
    max_size=6,
)


@hypothesis.given(ROWS)
@hypothesis.settings(deadline=None, max_examples=150, derandomize=True)
def test_decoding_gives_back_what_was_encoded(rows):
    run = from_rows(rows)
    encoded = record_format.encode(run)
    found = record_format.decode(
        tf.constant(encoded.units),
        tf.constant(np.diff(encoded.unit_splits)),
        tf.constant(encoded.values),
        tf.constant(np.diff(encoded.value_splits)),
    )
    assert rows_of_ragged(*found) == rows_of(run)


def test_a_row_of_equal_values_keeps_one():
    run = from_rows([({3: 0.5, 9: 0.5, 11: 0.5}, {1}), ({3: 0.0, 4: -0.0}, {})])
    assert record_format.encode(run).values.tolist() == [0.5, 0.0, -0.0]


def write_shards(folder, runs, num_features, num_labels):
    """Writes a prepared folder of one split by hand, a shard for each run."""
    shards = []
    for number, run in enumerate(runs):
        name = record_files.shard_name("train", number, len(runs))
        with record_files.ShardWriter(folder, name) as writer:
            for row in range(run.num_instances):  # many writes, one shard
                writer.write(instances.select(run, np.array([row])))
            writer.finish({"num_instances": run.num_instances})
        files = record_files.read_finished(folder, name)["files"]
        shards.append(
            {"name": name, "num_instances": run.num_instances, "files": files}
        )
    facts = {
        "num_instances": sum(run.num_instances for run in runs),
        "most_features": 9,
        "most_labels": 9,
        "shards": shards,
    }
    record_files.write_manifest(
        folder,
        {
            "version": record_files.VERSION,
            "num_features": num_features,
            "num_labels": num_labels,
            "splits": {"train": facts},
        },
    )


@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("sizes", [[7], [3, 0, 4], [1] * 7])
def test_a_source_reads_any_rows_of_any_shards(tmp_path, sizes, is_mapped):
    rng = np.random.default_rng(0)
    rows = [
        (
            {int(i): float(rng.random()) for i in rng.choice(2**20, n % 4)},
            set(rng.choice(50, n % 3).tolist()),
        )
        for n in range(sum(sizes))
    ]
    whole = from_rows(rows)
    edges = np.cumsum([0, *sizes])
    runs = [
        instances.select(whole, np.arange(*edges[i : i + 2]))
        for i in range(len(sizes))
    ]
    write_shards(tmp_path, runs, 2**20, 50)
    source = record_source.RecordSource(tmp_path, "train", is_mapped)
    for wanted in ([5, 0, 6, 6, 1], [], [2], list(range(7))):
        found, labels = source.rows(tf.constant(wanted, tf.int64))
        expected = rows_of(whole)
        assert rows_of_ragged(*found.values(), labels) == [
            expected[i] for i in wanted
        ]


@pytest.mark.parametrize("is_mapped", [False, True])
def test_a_source_of_rows_without_features(tmp_path, is_mapped):
    write_shards(tmp_path, [from_rows([({}, {1}), ({}, {})])], 5, 5)
    source = record_source.RecordSource(tmp_path, "train", is_mapped)
    found, labels = source.rows(tf.constant([1, 0], tf.int64))
    assert rows_of_ragged(*found.values(), labels) == [
        ([], [], []),
        ([], [], [1]),
    ]


@pytest.mark.parametrize("suffix", ["index", "units", "values"])
def test_a_file_that_was_cut_is_refused(tmp_path, suffix):
    write_shards(tmp_path, [from_rows([({1: 2.0}, {1})])], 5, 5)
    path = record_files.shard_path(tmp_path, "train-00000-of-00001", suffix)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"{path.name}: found .* bytes"):
        record_source.RecordSource(tmp_path, "train")


@pytest.mark.parametrize(
    "name", ["train-00000-of-00001.units", "records.json", "values", "index"]
)
def test_a_flipped_bit_is_named(tmp_path, name):
    write_shards(tmp_path, [from_rows([({1: 2.0, 3: 4.0}, {1})])], 5, 5)
    if "." not in name:
        name = f"train-00000-of-00001.{name}"
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    for place in range(0, len(content), 1 + len(content) // 40):
        path.write_bytes(
            content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        )
        with pytest.raises(data_errors.DataError, match=f"{name}: found "):
            record_source.RecordSource(tmp_path, "train")
    path.write_bytes(content)
    record_source.RecordSource(tmp_path, "train")


def test_files_are_compared_once_until_they_are_written(tmp_path, monkeypatch):
    write_shards(tmp_path, [from_rows([({1: 2.0, 3: 4.0}, {1})])], 5, 5)
    compared = []
    check = checked_files.check

    def count(path, expected):
        compared.append(path.suffix)
        check(path, expected)

    monkeypatch.setattr(checked_files, "check", count)
    # Files this young may be written again without another time.
    for _ in range(2):
        record_source.RecordSource(tmp_path, "train")
        assert sorted(compared) == [".index", ".units", ".values"]
        compared.clear()
    for path in tmp_path.iterdir():
        os.utime(path, (1, 1))
    for wanted in (3, 0, 0):
        record_source.RecordSource(tmp_path, "train")
        assert len(compared) == wanted
        compared.clear()
    path = next(tmp_path.glob("*.values"))
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    with pytest.raises(data_errors.DataError, match="values: found content"):
        record_source.RecordSource(tmp_path, "train")
    (tmp_path / record_checks.VERIFIED).write_text("[")  # says nothing
    compared.clear()
    path.write_bytes(content)
    record_source.RecordSource(tmp_path, "train")
    assert len(compared) == 3


def test_a_shard_is_whole_only_with_its_own_bytes(tmp_path):
    write_shards(tmp_path, [from_rows([({1: 2.0}, {1})])], 5, 5)
    name = "train-00000-of-00001"
    assert record_files.read_finished(tmp_path, name)
    path = record_files.shard_path(tmp_path, name, "units")
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert record_files.read_finished(tmp_path, name) is None


@pytest.mark.parametrize(
    "seconds", [0.0, pytest.param(0.05, marks=pytest.mark.slow)]
)
def test_a_process_ends_while_rows_are_read(tmp_path, seconds):
    """Threads of tf.data that wait for Python would keep it from ending."""
    rows = [({i: 1.0 * i for i in range(200)}, {1})] * 50
    write_shards(tmp_path, [from_rows(rows)], 300, 5)
    program = f"""
import sys, time
from tfxml.data.feeding import batching, pipeline
from tfxml.data.records import record_source
source = record_source.RecordSource({str(tmp_path)!r}, "train")
cut = batching.ByInstances(source.num_instances, 2000)
batches = iter(pipeline.training(source, cut, 0, 0, 10**9))
next(batches)
time.sleep({seconds})
sys.exit(7)
"""
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=ROOT, timeout=120, check=False)
    assert ended.returncode == 7
