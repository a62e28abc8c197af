"""The libsvm reader against scikit-learn, and small files good and broken."""

import gzip
import io

import numpy as np
import pytest
import scipy.sparse
import sklearn.datasets

from tfxml.data import bad_rows, data_errors, instances
from tfxml.data.formats import folder, libsvm, read_options

GOOD = "3,1 1:1 3:0.5\n 2:1.25\n2\n1,5 1:3 4:-.5e1\n"
LABELS = [[1, 3], [], [2], [1, 5]]
FEATURES = [{1: 1, 3: 0.5}, {2: 1.25}, {}, {1: 3, 4: -5}]


def detect(tmp_path, files, **options):
    for name, content in files.items():
        content = content if isinstance(content, bytes) else content.encode()
        content = gzip.compress(content) if name.endswith(".gz") else content
        (tmp_path / name).write_bytes(content)
    return folder.detect(str(tmp_path), read_options.ReadOptions(**options))


def read(found, split="train", **arguments):
    return rows_of(found.read(split, **arguments))


def rows_of(runs):
    """Returns the labels and features of each row, as lists and dicts."""
    run = instances.concatenate(runs)
    rows = zip(
        np.split(run.feature_ids, run.feature_splits[1:-1]),
        np.split(run.feature_values, run.feature_splits[1:-1]),
        strict=True,
    )
    labels = np.split(run.label_ids, run.label_splits[1:-1])
    return (
        [ids.tolist() for ids in labels],
        [dict(zip(i.tolist(), v.tolist(), strict=True)) for i, v in rows],
    )


def minus(rows, first):
    return [
        {i - first: v for i, v in row.items()}
        if isinstance(row, dict)
        else [i - first for i in row]
        for row in rows
    ]


@pytest.mark.parametrize(
    "name, content",
    [
        ("train.svm", GOOD),
        ("train.libsvm.gz", GOOD),
        ("train.txt", GOOD),
        ("rcv1_train.svmlight", GOOD[:-1]),
        ("train.svm", GOOD.replace("3,1", "3, 1").replace("1,5", "1 ,\t5")),
        ("train.svm", "# from scikit-learn\n" + GOOD),
        ("train.svm", "\n" + GOOD.replace("\n", "   # why\n\n  \n")),
        ("train.svm", GOOD.replace("\n", "\r\n")),
        ("train.svm", "\ufeff" + GOOD),
        (
            "train.svm",
            GOOD.replace("3,1 ", "3,1 qid:7 ").replace(" 2", "qid:1 2"),
        ),
        ("train.svm", GOOD.replace("3,1", "3,1,3").replace("1:3", "1:1 1:2")),
        ("train.txt", GOOD.replace("3,1 1", "# a comment\n3,1 qid:1 1")),
    ],
    ids=range(12),
)
@pytest.mark.parametrize("chunk_bytes", [1, 9, 1 << 17])
def test_one_based_rows_said_differently(tmp_path, name, content, chunk_bytes):
    found = detect(tmp_path, {name: content})
    assert (found.format, found.num_instances("train")) == ("libsvm", 4)
    assert (found.num_features, found.num_labels) == (4, 5)
    runs = libsvm.read(
        str(tmp_path / name), chunk_bytes=chunk_bytes, **found.arguments
    )
    assert rows_of(runs) == (minus(LABELS, 1), minus(FEATURES, 1))
    assert found.label_names() == ["1", "2", "3", "4", "5"]
    (note,) = found.notes
    assert "feature ids run from 1 to 4 and are read as one-based" in note
    assert "label ids run from 1 to 5 and are read as one-based" in note


@pytest.mark.parametrize("one_based", read_options.ONE_BASED)
def test_the_first_id_is_said_or_seen_features_and_labels_apart(
    tmp_path, one_based
):
    found = detect(tmp_path, {"train.svm": GOOD}, one_based=one_based)
    first_feature = int(one_based in ("auto", "yes", "features"))
    first_label = int(one_based in ("auto", "yes", "labels"))
    labels, features = read(found)
    assert labels == minus(LABELS, first_label)
    assert features == minus(FEATURES, first_feature)
    assert found.num_features == 5 - first_feature
    assert found.num_labels == 6 - first_label
    assert (found.label_names() is None) == (not first_label)


def test_an_id_0_of_any_split_shows_that_ids_start_there(tmp_path):
    files = {"train.svm": GOOD, "test.svm": "0 7:1\n"}
    found = detect(tmp_path, files)
    assert (found.num_features, found.num_labels) == (7, 6)
    assert read(found) == (LABELS, minus(FEATURES, 1))
    assert read(found, "test") == ([[0]], [{6: 1}])
    assert found.label_names() is None


def test_names_beside_say_how_many_labels_there_are(tmp_path):
    names = "".join(f"name{i}\n" for i in range(9))
    found = detect(tmp_path, {"train.svm": GOOD, "labels.txt": names})
    assert found.num_labels == 9
    assert found.label_names()[0] == "name0"
    (tmp_path / "labels.txt").write_text("a\nb\n")
    found = folder.detect(str(tmp_path))
    with pytest.raises(data_errors.RowError, match=":1: found label id 3"):
        read(found)


@pytest.mark.parametrize("wanted", [(0, 4), (0, 1), (1, 3), (3, 4), (2, 2)])
def test_any_rows_can_be_wanted_blank_lines_or_not(tmp_path, wanted):
    content = "# head\n" + GOOD.replace("\n", "\n\n# x\n")
    found = detect(tmp_path, {"train.svm": content})
    if wanted[0] == wanted[1]:
        assert not list(found.read("train", wanted=range(*wanted)))
        return
    labels, features = read(found, wanted=range(*wanted))
    assert labels == minus(LABELS, 1)[slice(*wanted)]
    assert features == minus(FEATURES, 1)[slice(*wanted)]


def test_several_files_are_one_split(tmp_path):
    lines = [f"{i % 7} {i % 5}:{i + 1}\n" for i in range(40)]
    files = {
        "set_train_1.svm": "".join(lines[:9]),
        "set_train_2.svm": "".join(lines[9:10]),
        "set_train_10.svm": "".join(lines[10:]),
        "set_test.svm": lines[0],
    }
    found = detect(tmp_path, files)
    assert found.num_instances("train") == 40
    whole = read(found)
    assert whole[0] == [[i % 7] for i in range(40)]
    assert whole[1] == [{i % 5: i + 1} for i in range(40)]
    for first, last in ((0, 40), (3, 12), (9, 10), (10, 40), (0, 9)):
        labels, features = read(found, wanted=range(first, last))
        assert (labels, features) == (
            whole[0][first:last],
            whole[1][first:last],
        )


@pytest.mark.parametrize(
    "content, line, found",
    [
        ("+1 1:1\n", 1, "label id '+1'"),
        ("1 1:1\n-1 1:1\n", 2, "label id '-1'"),
        ("1 1:1\n1.0 1:1\n", 2, "label id '1.0'"),
        ("1 1:1\n\n# x\n1,,2 1:1\n", 4, "label id ''"),
        ("1 1:1\n1 x:1\n", 2, "feature id 'x'"),
        ("1 1:1\n1 1:nan\n", 2, "value 'nan'"),
        ("1 1:1\n1 1:1e99\n", 2, "value 1e+99 of feature 1"),
        ("1 1:1\n1 1:1 7\n", 2, "'7'"),
        ("1 1:1\n99999999999 1:1\n", 2, "label id 99999999999"),
        ("1 1:1\n1 99999999999:1\n", 2, "feature id 99999999999"),
        ("1 1:1\n1 1:\xff\n", 2, "value"),
    ],
)
def test_the_bad_line_is_named_or_skipped(tmp_path, content, line, found):
    files = {"train.svm": content + "2 2:1\n"}
    data = detect(tmp_path, files)
    with pytest.raises(data_errors.RowError) as caught:
        read(data)
    path = str(tmp_path / "train.svm")
    assert (caught.value.path, caught.value.line) == (path, line)
    assert found in caught.value.found
    bad = bad_rows.BadRows("skip")
    labels, _ = read(data, bad=bad)
    assert labels[-1] == [data.num_labels - 1]
    assert (len(labels), bad.total) == (data.num_instances("train") - 1, 1)


@pytest.mark.parametrize(
    "content, found",
    [("", "no label"), ("1 x:1\n", "feature id 'x'"), (" 1:1\n", "no label")],
)
def test_a_file_without_labels_or_features_is_refused(tmp_path, content, found):
    with pytest.raises(data_errors.DataError, match=found):
        detect(tmp_path, {"train.svm": content})


def test_ids_from_1_under_a_header_are_recognised(tmp_path):
    files = {"train.txt": "2 3 2\n1 1:1\n2 3:1\n"}
    found = detect(tmp_path, files)
    assert found.format == "xc_text"
    with pytest.raises(
        data_errors.RowError,
        match=r"label id 2 \(ids run from 1 to 2: --one_based\?\)",
    ):
        read(found)
    found = detect(tmp_path, files, one_based="yes")
    assert read(found) == ([[0], [1]], [{0: 1}, {2: 1}])


@pytest.mark.parametrize("zero_based", [True, False])
def test_against_scikit_learn(tmp_path, zero_based):
    generator = np.random.default_rng(0)
    x = scipy.sparse.random(200, 300, 0.05, "csr", rng=generator)
    y = (generator.random((200, 9)) < 0.3).astype(int)
    y[:, 0] |= ~y.any(1)
    file = io.BytesIO()
    sklearn.datasets.dump_svmlight_file(
        x, y, file, zero_based=zero_based, comment="made", multilabel=True
    )
    found = detect(tmp_path, {"train.svm": file.getvalue()})
    theirs, labels = sklearn.datasets.load_svmlight_file(
        io.BytesIO(file.getvalue()), multilabel=True, zero_based="auto"
    )
    run = instances.concatenate(found.read("train"))
    assert found.num_features == theirs.shape[1]
    np.testing.assert_array_equal(run.feature_splits, theirs.indptr)
    np.testing.assert_array_equal(run.feature_ids, theirs.indices)
    np.testing.assert_array_equal(
        run.feature_values, theirs.data.astype(np.float32)
    )
    sets = np.split(run.label_ids, run.label_splits[1:-1])
    assert [tuple(map(float, s)) for s in sets] == labels


@pytest.mark.parametrize("first", [0, 1])
def test_a_real_set_without_its_header_reads_the_same(
    tmp_path, real_data, first
):
    header, *lines = (real_data("bibtex") / "test.txt").read_text().split("\n")
    if first:
        lines = [
            ",".join(str(int(i) + 1) for i in labels.split(",") if i)
            + "".join(
                f" {int(i) + 1}:{v}"
                for i, v in (pair.split(":") for pair in pairs.split())
            )
            for labels, _, pairs in (line.partition(" ") for line in lines)
        ]
    found = detect(tmp_path, {"test.svm": "\n".join(lines)})
    needed = folder.detect(str(real_data("bibtex")))
    assert found.num_labels == needed.num_labels
    assert read(found, "test") == read(needed, "test")
