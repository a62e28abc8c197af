"""A folder is recognised by its file names, or says what it holds."""

import gzip
import json
import re

import numpy as np
import pytest
import scipy.sparse

from tfxml.data import data_errors, instances
from tfxml.data.formats import folder, format_table, read_options

X = scipy.sparse.csr_matrix(np.float32([[0, 2, 0], [0, 0, 0.5]]))
Y = scipy.sparse.csr_matrix(np.float32([[1, 0, 0, 1], [0, 1, 0, 0]]))
XC = "2 3 4\n0,3 1:2\n1 2:0.5\n"


def text_line(target):
    return json.dumps({"title": "a", "target_ind": target}) + "\n"


JSON = text_line([0, 3]) + text_line([1])
NAMES = "".join(json.dumps({"title": n}) + "\n" for n in "abcd")


def fill(path, files):
    """Writes files: text, or a matrix as npz."""
    for name, content in files.items():
        (path / name).parent.mkdir(exist_ok=True)
        if not isinstance(content, str):
            scipy.sparse.save_npz(path / name, content)
        elif name.endswith(".gz"):
            (path / name).write_bytes(gzip.compress(content.encode()))
        else:
            (path / name).write_text(content)
    return str(path)


XY = {"X_Xf.txt": "2 3\n1:2\n2:0.5\n", "X_Y.txt": "2 4\n0:1 3:1\n1:1\n"}


@pytest.mark.parametrize(
    "format, files, splits",
    [
        ("xc_text", {"train.txt": XC, "test.txt": XC}, ["test", "train"]),
        ("xc_text", {"train.txt.gz": XC}, ["train"]),
        ("xc_text", {"a_valid.txt": XC, "a_train.txt": XC}, ["dev", "train"]),
        ("xc_text", {"eurlex_train.txt": XC}, ["train"]),
        ("xc_text", {"amazonCat-14K_train.txt": XC}, ["train"]),
        ("xc_text", {"wiki10-train.txt": XC, "wiki10-dev.txt": XC}, None),
        ("xc_text", {"train.txt": XC, "train_texts.txt": "a"}, ["train"]),
        ("xy_sparse", {f"trn_{n}": t for n, t in XY.items()}, ["train"]),
        ("xy_sparse", {f"tst_{n}.gz": t for n, t in XY.items()}, ["test"]),
        ("matrices", {"X.trn.npz": X, "Y.trn.npz": Y}, ["train"]),
        (
            "matrices",
            {
                f"{name}.{split}.npz": matrix
                for split in ("trn", "tst", "dev")
                for name, matrix in (("tfidf-attnxml/X", X), ("Y", Y))
            }
            | {"X.trn.txt": "raw text", "train_labels.txt": "raw"},
            ["dev", "test", "train"],
        ),
        ("json_lines", {"trn.json.gz": JSON, "tst.json.gz": JSON}, None),
        ("json_lines", {"trn.raw.json.gz": JSON}, ["train"]),
        ("json_lines", {"train.jsonl": JSON, "dev.json": JSON}, None),
    ],
)
def test_detects_and_reads(tmp_path, format, files, splits):
    found = folder.detect(fill(tmp_path, files))
    assert found.format == format
    if splits:
        assert list(found.splits) == splits
    assert len(found.splits) == len(found.split_paths) > 0
    assert found.num_labels == 4
    for split in found.splits:
        runs = list(found.read(split))
        labels = [i for run in runs for i in run.label_ids.tolist()]
        assert labels == [0, 3, 1]
        if format == "json_lines":
            assert [text for run in runs for text in run.texts] == ["a", "a"]
            assert found.num_features is None
            assert found.num_instances(split) == 2
        else:
            read = instances.concatenate(runs)
            assert read.feature_values.tolist() == [2, 0.5]
            assert found.num_features == 3
            assert found.num_instances(split) == 2
        assert found.filter_pairs(split) is None
    assert found.label_names() is None


def test_splits_are_not_mixed_up(tmp_path):
    files = {
        "train.txt": XC,
        "dev.txt": "1 3 4\n0\n",
        "test.txt": "0 3 4\n",
    }
    found = folder.detect(fill(tmp_path, files))
    sizes = {split: found.num_instances(split) for split in found.splits}
    assert sizes == {"dev": 1, "test": 0, "train": 2}
    for split, size in sizes.items():
        read = sum(run.num_instances for run in found.read(split))
        assert read == size


@pytest.mark.parametrize(
    "files, found",
    [
        ({}, "no file"),
        ({"a.csv": "", "b.md": ""}, "a.csv, b.md"),
        ({"filter_labels_train.txt": ""}, "filter_labels_train.txt"),
        ({f"{i:02}.csv": "" for i in range(20)}, "11.csv and 8 more"),
        ({"train.txt": XC, "trn.json": JSON}, "xc_text and json_lines"),
        ({"train.txt": XC, "train.txt.gz": XC}, "train.txt and train.txt.gz"),
        ({"a_train.txt": XC, "b_train.txt": XC}, "a_train.txt and b_train."),
        ({"trn_X_Xf.txt": XY["X_Xf.txt"]}, "without its pair"),
        ({"Y.tst.npz": Y}, "without its pair"),
        ({"train.txt": XC, "test.txt": "0 9 4\n"}, "(9, 4)"),
        ({"train.txt": XC, "test.txt": "0 3 5\n"}, "(3, 5)"),
        ({"trn.json": ""}, "no row"),
        ({"trn.json": text_line([])}, "no label"),
    ],
)
def test_says_what_it_found(tmp_path, files, found):
    with pytest.raises(data_errors.DataError) as caught:
        folder.detect(fill(tmp_path, files))
    assert found in caught.value.found
    assert caught.value.path.startswith(str(tmp_path))
    if "without" in found or "file" in found:
        assert "tfidf-attnxml/X.trn.npz" in caught.value.needed


def test_format_chooses(tmp_path):
    files = {"train.txt": XC, "trn.json": JSON, "trn_X_Y.txt": ""}
    path = fill(tmp_path, files)

    def detect(format):
        return folder.detect(path, read_options.ReadOptions(format=format))

    assert detect("xc_text").num_features == 3
    assert detect("json_lines").num_features is None
    with pytest.raises(
        data_errors.DataError, match="found train.txt, trn.json, tr"
    ):
        detect("matrices")
    with pytest.raises(ValueError, match="Received: format='libsvn'"):
        detect("libsvn")


def test_unknown_split_and_folder(tmp_path):
    found = folder.detect(fill(tmp_path, {"train.txt": XC}))
    for method in (found.read, found.num_instances, found.filter_pairs):
        with pytest.raises(
            data_errors.DataError,
            match=r"found data of train alone; needed data of dev too \(xc_",
        ):
            method("dev")
    with pytest.raises(FileNotFoundError):
        folder.detect(str(tmp_path / "none"))


@pytest.mark.parametrize(
    "name, content",
    [
        ("labels.txt", "a\nb\nc\nd\n"),
        ("Yf.txt", "a\nb\nc\nd"),
        ("output-items.txt", "a\nb\nc\nd\n"),
        ("lbl.json.gz", NAMES),
        ("lbl.raw.json", NAMES),
    ],
)
@pytest.mark.parametrize("data", [{"train.txt": XC}, {"trn.json": JSON}])
def test_label_names(tmp_path, data, name, content):
    found = folder.detect(fill(tmp_path, data | {name: content}))
    assert found.num_labels == 4
    assert found.label_names() == ["a", "b", "c", "d"]


def test_label_names_must_be_one_for_each_label(tmp_path):
    found = folder.detect(fill(tmp_path, {"a_test.txt": XC, "Yf.txt": "a\n"}))
    with pytest.raises(data_errors.DataError, match="1 names; needed 4"):
        found.label_names()


def test_number_of_labels_of_text(tmp_path):
    path = fill(tmp_path, {"trn.json": JSON, "tst.json": text_line([6])})
    assert folder.detect(path).num_labels == 7
    fill(tmp_path, {"lbl.json": NAMES})
    found = folder.detect(path)
    assert found.num_labels == 4
    with pytest.raises(data_errors.DataError, match="tst.json:1: .*label id 6"):
        list(found.read("test"))


def test_filter_pairs(tmp_path):
    files = {
        "train.txt": XC,
        "test.txt": XC,
        "filter_labels_train.txt": "",
        "filter_labels_test.txt": "1 3\n0 0\n",
    }
    found = folder.detect(fill(tmp_path, files))
    assert found.filter_pairs("train").shape == (0, 2)
    assert found.filter_pairs("test").tolist() == [[1, 3], [0, 0]]


@pytest.mark.parametrize(
    "pair, found", [("2 0", "found row 2"), ("0 4", "found label 4")]
)
@pytest.mark.parametrize(
    "data",
    [
        {"train.txt": XC},
        {"trn.json": JSON},
        {"trn.json.gz": JSON + "\n \n", "lbl.json": NAMES},
    ],
)
def test_filter_pairs_out_of_range(tmp_path, data, pair, found):
    files = data | {"filter_labels_train.txt": f"0 0\n{pair}\n"}
    with pytest.raises(data_errors.DataError, match=found):
        folder.detect(fill(tmp_path, files)).filter_pairs("train")


REAL = {
    "bibtex": ("xc_text", 1836, 159, {"train": 4880, "test": 2515}, 2.4),
    "delicious": ("xc_text", 500, 983, {"train": 12920, "test": 3185}, 19),
    "eurlex57k": ("json_lines", None, 4271, {"dev": 6000}, 5.1),
    "tibkat-gnd": ("json_lines", None, 41218, {"dev": 19949}, 2.9),
    "yso-en": ("json_lines", None, 24989, {"dev": 20000}, 2.4),
}


@pytest.mark.parametrize(
    "name",
    [n for n in REAL if n != "yso-en"]
    + [pytest.param("yso-en", marks=pytest.mark.slow)],
)
def test_real_data(real_data, name):
    """Sizes as the data's README says; the large training text is left."""
    format, num_features, num_labels, sizes, per_instance = REAL[name]
    found = folder.detect(str(real_data(name)))
    assert found.format == format
    assert (found.num_features, found.num_labels) == (num_features, num_labels)
    assert len(found.label_names()) == num_labels
    for split, size in sizes.items():
        runs = list(found.read(split))
        assert sum(run.num_instances for run in runs) == size
        count = sum(len(run.label_ids) for run in runs)
        assert count / size == pytest.approx(per_instance, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, size",
    [("eurlex57k", 45000), ("tibkat-gnd", 90452), ("yso-en", 568291)],
)
def test_real_training_text(real_data, name, size):
    runs = folder.detect(str(real_data(name))).read("train")
    assert sum(run.num_instances for run in runs) == size


def test_error_lists_every_format(tmp_path):
    with pytest.raises(data_errors.DataError) as caught:
        folder.detect(str(tmp_path))
    named = re.findall(r"(?:^|[.;]) (\w+):", caught.value.needed)
    assert named == list(format_table.FORMATS)
