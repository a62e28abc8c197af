"""One file as a data set, rows held out for testing, and other label ids."""

import json

import numpy as np
import pandas
import pytest
import scipy.sparse

from tfxml import config
from tfxml.data import bad_rows, data_errors
from tfxml.data.formats import folder, read_options
from tfxml.data.records import preparing
from tfxml.run import splits

N = 50
HALF = read_options.ReadOptions(test_fraction=0.3)


def rows():
    """Returns texts, no two the same, and a label each."""
    return [(f"text {i}", [f"label {i % 4}"]) for i in range(N)]


def write(path, format):
    """Writes one file; returns its path."""
    path = path / f"all.{format}"
    if format == "csv":
        frame = pandas.DataFrame(
            [(text, labels[0]) for text, labels in rows()],
            columns=["text", "labels"],
        )
        frame.to_csv(path, index=False)
    elif format == "jsonl":
        lines = [json.dumps({"text": t, "labels": ls}) for t, ls in rows()]
        path.write_text("\n".join(lines) + "\n\n")
    elif format == "parquet":
        frame = pandas.DataFrame(rows(), columns=["text", "labels"])
        frame.to_parquet(path, row_group_size=7)
    elif format == "ft":
        lines = [f"__label__{i % 4} text {i}\n" for i in range(N)]
        path.write_text("".join(lines))
    elif format == "svm":
        lines = [f"{i % 4} {i}:0.5\n\n" for i in range(N)]
        path.write_text("# all\n" + "".join(lines))
    elif format == "txt":
        lines = [f"{i % 4} {i}:0.5\n" for i in range(N)]
        path.write_text(f"{N} {N} 4\n" + "".join(lines))
    elif format == "arff":
        head = "@relation 'a: -C -1'\n@attribute row numeric\n"
        lines = [f"{i},{int(i % 4 == 0)}\n" for i in range(N)]
        path.write_text(
            head + "@attribute label {0,1}\n@data\n" + "".join(lines)
        )
    return str(path)


FORMATS = ("csv", "jsonl", "parquet", "ft", "svm", "txt", "arff")


def rows_of(runs):
    """Returns the number of each row, which its text or features say."""
    found = []
    for run in runs:
        if hasattr(run, "texts"):
            found += [int(text.split()[1]) for text in run.texts]
        elif run.num_instances:
            values = np.maximum(run.feature_ids, run.feature_values)
            sums = np.add.reduceat(
                np.append(values, 0),
                np.minimum(run.feature_splits[:-1], len(values)),
            )
            is_empty = np.diff(run.feature_splits) == 0
            found += np.where(is_empty, 0, sums).astype(int).tolist()
        assert len(run.label_splits) == run.num_instances + 1
    return found


@pytest.mark.parametrize("format", FORMATS)
def test_one_file_is_the_training_split(tmp_path, format):
    found = folder.detect(write(tmp_path, format))
    assert found.splits == ("train",)
    assert found.count_rows("train") == N
    assert rows_of(found.read("train")) == list(range(N))
    assert found.files_beside() == []
    with pytest.raises(data_errors.DataError, match="found data of train alo"):
        found.read("test")


@pytest.mark.parametrize("format", FORMATS)
def test_a_share_is_held_out_the_same_each_time(tmp_path, format):
    path = write(tmp_path, format)
    found = folder.detect(path, HALF)
    assert found.splits == ("test", "train")
    assert found.num_instances("test") == 15
    assert found.num_instances("train") == 35
    train, test = (rows_of(found.read(s)) for s in ("train", "test"))
    assert sorted(train + test) == list(range(N))
    assert (train, test) == (sorted(train), sorted(test))
    assert (len(train), len(test)) == (35, 15)
    again = folder.detect(path, HALF)
    assert rows_of(again.read("test")) == test
    options = read_options.ReadOptions(test_fraction=0.3, split_seed=1)
    assert rows_of(folder.detect(path, options).read("test")) != test
    pieces = [
        rows_of(found.read("train", wanted=range(first, min(first + 9, 35))))
        for first in range(0, 35, 9)
    ]
    assert sum(pieces, []) == train
    assert found.notes[-1] == ("15 of 50 rows are held out as the test split")


@pytest.mark.parametrize("format", ["csv", "jsonl", "ft", "svm", "txt", "arff"])
def test_bad_rows_belong_to_the_split_that_they_fall_in(tmp_path, format):
    path = write(tmp_path, format)
    good = folder.detect(path, HALF)
    whole = {s: rows_of(good.read(s)) for s in good.splits}
    with open(path, "rb") as file:
        lines = file.read().split(b"\n")
    is_row = [
        any(mark in line for mark in (b"text ", b":0.5", b",0", b",1"))
        and line[:1] != b"@"
        for line in lines
    ]
    places = np.flatnonzero(is_row)
    assert len(places) == N
    bad = {3, whole["test"][2], 30, 31, 49}
    for row in bad:
        lines[places[row]] = b"\xff x y"
    with open(path, "wb") as file:
        file.write(b"\n".join(lines))
    found = folder.detect(path, HALF)
    for split, held in whole.items():
        policy = bad_rows.BadRows("skip")
        kept = rows_of(found.read(split, policy))
        assert kept == [row for row in held if row not in bad]
        assert policy.total == len(bad & set(held)) > 0
        with pytest.raises(data_errors.RowError):
            list(found.read(split))


def test_a_share_of_a_folders_training_split(tmp_path):
    for name in ("train_1.svm", "train_2.svm"):
        write(tmp_path, "svm")
        (tmp_path / "all.svm").rename(tmp_path / name)
    found = folder.detect(str(tmp_path), HALF)
    train, test = (rows_of(found.read(s)) for s in ("train", "test"))
    assert sorted(train + test) == sorted(2 * list(range(N)))
    assert len(test) == 30
    pieces = [
        rows_of(found.read("test", wanted=range(first, first + 5)))
        for first in range(0, 30, 5)
    ]
    assert sum(pieces, []) == test
    (tmp_path / "test.svm").write_text("0 0:1\n")
    with pytest.raises(ValueError, match="`test_fraction` must be 0"):
        folder.detect(str(tmp_path), HALF)


def test_a_share_of_matrices(tmp_path):
    np.save(tmp_path / "X_train.npy", np.diag(np.arange(N)).astype(np.float32))
    y = scipy.sparse.csr_matrix(np.ones((N, 2), np.float32))
    scipy.sparse.save_npz(tmp_path / "Y.train.npz", y)
    found = folder.detect(str(tmp_path), HALF)
    train, test = (rows_of(found.read(s)) for s in ("train", "test"))
    assert sorted(train + test) == list(range(N))


def test_a_share_must_leave_rows(tmp_path):
    (tmp_path / "a.svm").write_text("0 0:1\n")
    with pytest.raises(data_errors.DataError, match="rows left to train on"):
        folder.detect(str(tmp_path / "a.svm"), HALF)


@pytest.mark.parametrize("name", ["a.docx", "a", "a.csv.zip"])
def test_a_file_of_no_format_is_told(tmp_path, name):
    (tmp_path / name).write_text("a")
    with pytest.raises(data_errors.DataError, match="ends in no format's way"):
        folder.detect(str(tmp_path / name))


def test_a_folder_of_one_file_says_how_to_read_it(tmp_path):
    path = write(tmp_path, "csv")
    with pytest.raises(data_errors.NoFormatError) as caught:
        folder.detect(str(tmp_path))
    assert f"--data_dir: {path}" in caught.value.needed
    options = read_options.ReadOptions(format="fasttext")
    (tmp_path / "all.csv").write_text("__label__a b\n")
    assert folder.detect(path, options).format == "fasttext"


@pytest.mark.parametrize(
    "files, needed",
    [
        ({"test.txt": "1 2 2\n0 0:1\n"}, "data of train too (xc_text: train"),
        ({"tst.json": '{"target_ind": [0]}\n'}, "(json_lines: trn.json.gz"),
    ],
)
def test_a_test_split_alone_says_what_is_missing(tmp_path, files, needed):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    found = folder.detect(str(tmp_path))
    with pytest.raises(data_errors.DataError) as caught:
        found.read("train")
    assert caught.value.found == "data of test alone"
    assert needed in caught.value.needed


def test_labels_in_another_order_are_found_by_name(tmp_path):
    (tmp_path / "test.txt").write_text("3 2 4\n0,3 0:1\n1,2 1:1\n2 0:1\n")
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\n")
    (tmp_path / "filter_labels_test.txt").write_text("0 0\n1 1\n2 2\n")
    found = folder.detect(str(tmp_path))
    assert found.with_labels(["a", "b", "c", "d"]) is found
    other = found.with_labels(["d", "x", "c", "a"])
    (run,) = other.read("test")
    assert run.label_splits.tolist() == [0, 2, 3, 4]
    assert run.label_ids.tolist() == [0, 3, 2, 2]
    assert other.num_labels == 4
    assert other.label_names() == ["d", "x", "c", "a"]
    assert other.filter_pairs("test").tolist() == [[0, 3], [2, 2]]
    assert other.notes[-1].startswith("1 labels are left out")
    third = other.with_labels(["c", "d", "a"])
    (run,) = third.read("test")
    assert run.label_ids.tolist() == [1, 2, 0, 0]
    (tmp_path / "labels.txt").unlink()
    with pytest.raises(data_errors.DataError, match="labels without names"):
        folder.detect(str(tmp_path)).with_labels(["a"])


def test_a_test_file_alone_is_read_with_a_runs_labels(tmp_path):
    path = tmp_path / "new.jsonl"
    path.write_text('{"text": "text 1", "labels": ["z", "b", "a"]}\n')
    found = folder.detect(str(path)).with_labels(["c", "b", "a"])
    (run,) = found.read("train")
    assert run.label_ids.tolist() == [1, 2]
    assert list(run.texts) == ["text 1"]


def test_prepared_rows_keep_the_names_found_in_the_data(tmp_path):
    path = write(tmp_path, "jsonl")
    source = folder.detect(path, HALF)
    output = tmp_path / "records"
    settings = splits.settings(config.Config(min_df=1), is_text=True)
    preparing.prepare(source, str(output), settings, num_shards=2)
    found = folder.detect(str(output))
    assert found.label_names() == [f"label {i}" for i in range(4)]
    assert found.split_sizes == {"test": 15, "train": 35}
