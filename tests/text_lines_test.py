"""Raw text beside a matrix of labels, by hand, good and broken."""

import gzip

import numpy as np
import pytest
import scipy.sparse

from tfxml.data import bad_rows, data_errors
from tfxml.data.formats import folder, read_options, text_lines

TEXTS = ["Cod quotas", "", "a\u2028b", "last"]
IDS = [[0, 2], [1], [], [2]]
X = "Cod quotas\n\na\u2028b\nlast\n"
Y = "4 3\n0:1 2:1\n1:1\n0:0\n2:1\n"


def rows_of(runs):
    runs = list(runs)
    return (
        [text for run in runs for text in run.texts],
        [
            row.tolist()
            for run in runs
            if run.num_instances
            for row in np.split(run.label_ids, run.label_splits[1:-1])
        ],
    )


def save_labels(path, rows=IDS, num_labels=3):
    dense = np.zeros((len(rows), num_labels), np.float32)
    for row, ids in enumerate(rows):
        dense[row, ids] = 1
    scipy.sparse.save_npz(path, scipy.sparse.csr_matrix(dense))


@pytest.mark.parametrize(
    "text_name, labels_name, names_name",
    [
        ("trn_X.txt", "trn_X_Y.txt", "Y.txt"),
        ("trn.raw.txt", "trn_X_Y.txt", "lbl.raw.txt"),
        ("trn_X.txt.gz", "trn_X_Y.txt.gz", None),
        ("raw/trn_X.txt", "trn_X_Y.txt", "raw/Y.txt"),
        ("raw_data/train.raw.txt", "trn_X_Y.txt", "raw_data/label.raw.txt"),
        ("X.trn.txt", "Y.trn.npz", "output-items.txt"),
        ("trn_X.txt", "trn_X_Y.npz", "Y.txt"),
    ],
)
@pytest.mark.parametrize("content", [X, X[:-1], X.replace("\n", "\r\n")])
@pytest.mark.parametrize("chunk_bytes", [1, 9, 1 << 20])
def test_folders_of_deepxml_and_pecos(
    tmp_path, text_name, labels_name, names_name, content, chunk_bytes
):
    for name, text in (
        (text_name, content),
        (labels_name, Y),
        (names_name, "x\ny\nz\n"),
    ):
        if name is None:
            continue
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if name.endswith("npz"):
            save_labels(tmp_path / name)
        else:
            text = text.encode()
            text = gzip.compress(text) if name.endswith("gz") else text
            (tmp_path / name).write_bytes(text)
    found = folder.detect(str(tmp_path))
    assert (found.format, found.num_features) == ("text_lines", None)
    assert (found.num_labels, found.num_instances("train")) == (3, 4)
    assert found.label_names() == (["x", "y", "z"] if names_name else None)
    paths = str(tmp_path / text_name), str(tmp_path / labels_name)
    runs = text_lines.read(*paths, chunk_bytes=chunk_bytes)
    assert rows_of(runs) == (TEXTS, IDS)
    for first, last in ((0, 1), (1, 3), (3, 4), (0, 4)):
        texts, ids = rows_of(found.read("train", wanted=range(first, last)))
        assert (texts, ids) == (TEXTS[first:last], IDS[first:last])


def test_features_beside_are_read_unless_text_is_asked_for(tmp_path):
    (tmp_path / "trn_X.txt").write_text(X)
    (tmp_path / "trn_X_Y.txt").write_text(Y)
    (tmp_path / "trn_X_Xf.txt").write_text("4 2\n0:1\n\n\n1:1\n")
    assert folder.detect(str(tmp_path)).format == "xy_sparse"
    options = read_options.ReadOptions(format="text_lines")
    found = folder.detect(str(tmp_path), options)
    assert rows_of(found.read("train")) == (TEXTS, IDS)


@pytest.mark.parametrize(
    "text, labels, path, line, found",
    [
        ("a\n", Y, "trn_X.txt", 2, "1 lines"),
        ("a\n" * 5, Y, "trn_X.txt", 5, "one line more"),
        ("a\n" * 4 + "\n\nb", Y, "trn_X.txt", 7, "one line more"),
        (X, Y.replace("4 3", "3 3"), "trn_X.txt", 4, "one line more"),
        (X, Y.replace("4 3", "5 3"), "trn_X.txt", 5, "4 lines"),
        (X, "4\n", "trn_X_Y.txt", 1, "'4'"),
        (X, Y.replace("1:1", "x:1"), "trn_X_Y.txt", 3, "feature id 'x'"),
        (X, Y.replace("\n1:1", "\n3:1"), "trn_X_Y.txt", 3, "label id 3"),
        (X, Y.replace("\n1:1", "\n1:nan"), "trn_X_Y.txt", 3, "value 'nan'"),
        (X, Y.replace("\n1:1", "\n1"), "trn_X_Y.txt", 3, "1 without a value"),
        ("a\n\xff\n\n\n", Y, "trn_X.txt", 2, r"\xff"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, labels, path, line, found):
    (tmp_path / "trn_X.txt").write_bytes(text.encode("latin-1", "ignore"))
    (tmp_path / "trn_X_Y.txt").write_text(labels)
    with pytest.raises(data_errors.DataError) as caught:
        list(folder.detect(str(tmp_path)).read("train"))
    assert caught.value.path == str(tmp_path / path)
    assert found in caught.value.found
    assert caught.value.line == line


def test_bad_rows_are_left_out_of_both_files(tmp_path):
    (tmp_path / "trn_X.txt").write_bytes(b"a\n\xff\nc\nd\n")
    (tmp_path / "trn_X_Y.txt").write_text("4 3\n0:1\n1:1\n3:1\n2:1\n")
    bad = bad_rows.BadRows("skip")
    found = folder.detect(str(tmp_path))
    assert rows_of(found.read("train", bad)) == (["a", "d"], [[0], [2]])
    assert bad.total == 2


def test_text_without_its_labels_is_told(tmp_path):
    (tmp_path / "trn_X.txt").write_text(X)
    with pytest.raises(data_errors.DataError, match="without its pair"):
        folder.detect(str(tmp_path))
