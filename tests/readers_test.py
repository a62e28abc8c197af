"""The sparse readers against scikit-learn, scipy and small files by hand."""

import gzip
import io
import tracemalloc

import numpy as np
import pytest
import scipy.sparse
import sklearn.datasets

from tfxml.data import data_errors, files, instances
from tfxml.data.formats import row_grammar, xc_text, xy_sparse

XC = b"4 6 5\n3,1 0:1 2:0.5 5:-2e-1\n 4:1.25\n2\n0,4 1:3 3:.5\n"


def read_xc(tmp_path, content, name="train.txt", **arguments):
    path = tmp_path / name
    path.write_bytes(content)
    return instances.concatenate(xc_text.read(str(path), **arguments))


def error_of(read, *arguments):
    with pytest.raises(data_errors.DataError) as caught:
        for _ in read(*map(str, arguments)):
            pass
    return caught.value


def assert_equal(run, other):
    for name in (
        "feature_splits",
        "feature_ids",
        "feature_values",
        "label_splits",
        "label_ids",
    ):
        mine, needed = getattr(run, name), getattr(other, name)
        np.testing.assert_array_equal(mine, needed, name)
        assert mine.dtype == needed.dtype, name


def from_scipy(x, y):
    """Returns the instances of two matrices in CSR with sorted indices."""
    return instances.Instances(
        x.indptr.astype(np.int64),
        x.indices.astype(np.int32),
        x.data.astype(np.float32),
        y.indptr.astype(np.int64),
        y.indices.astype(np.int32),
    )


@pytest.mark.parametrize("chunk_bytes", [1, 7, 20, 1 << 17])
def test_xc_text_by_hand(tmp_path, chunk_bytes):
    read = read_xc(tmp_path, XC, chunk_bytes=chunk_bytes)
    assert read.label_splits.tolist() == [0, 2, 2, 3, 5]
    assert read.label_ids.tolist() == [1, 3, 2, 0, 4]
    assert read.feature_splits.tolist() == [0, 3, 4, 4, 6]
    assert read.feature_ids.tolist() == [0, 2, 5, 4, 1, 3]
    np.testing.assert_array_equal(
        read.feature_values, np.float32([1, 0.5, -0.2, 1.25, 3, 0.5])
    )
    names = list(read.__dataclass_fields__)[:5]
    dtypes = [getattr(read, name).dtype for name in names]
    assert dtypes == ["int64", "int32", "float32", "int64", "int32"]
    assert read.weights is None


@pytest.mark.parametrize(
    "content",
    [
        XC.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + XC,
        XC[:-1],
        XC + b"\n \n\n",
        XC.replace(b" ", b"\t"),
        XC.replace(b" ", b"  ").replace(b"\n  4", b"\n4"),
        XC.replace(b"\n", b" \n"),
        XC.replace(b"0:1 ", b"0000000000:1 "),  # not for the fast parser
        XC.replace(b"3,1 ", b"3,1,3,3 "),
        XC.replace(b"0:1 2:0.5", b"2:.75 0:.25 2:-.25 0:0.75"),
    ],
    ids=range(10),
)
def test_xc_text_accepts_the_same_said_differently(tmp_path, content):
    needed = read_xc(tmp_path, XC)
    for chunk_bytes in (5, 1 << 17):
        read = read_xc(tmp_path, content, "b.txt", chunk_bytes=chunk_bytes)
        assert_equal(read, needed)
    zipped = gzip.compress(content)
    assert_equal(read_xc(tmp_path, zipped, "train.txt.gz"), needed)


def test_xc_text_accepts_a_row_of_nothing(tmp_path):
    read = read_xc(tmp_path, b"3 2 2\n\n1 1:1\n \n")
    assert read.label_splits.tolist() == [0, 0, 1, 1]
    assert read.feature_splits.tolist() == [0, 0, 1, 1]
    assert read_xc(tmp_path, b"0 2 2\n\n").num_instances == 0


def test_xc_text_header(tmp_path):
    (tmp_path / "train.txt").write_bytes(XC)
    assert xc_text.read_header(str(tmp_path / "train.txt")) == (4, 6, 5)


@pytest.mark.parametrize("digits", ["%.17g", "%.6f", "%.3g", "%.12e", "%.0f"])
def test_xc_text_against_scikit_learn(tmp_path, digits):
    generator = np.random.default_rng(0)
    x = scipy.sparse.random(300, 5000, 0.01, "csr", rng=generator)
    x.data = (x.data - 0.3) * 10.0 ** generator.integers(-6, 9, len(x.data))
    rows = []
    for row in range(300):
        labels = generator.choice(999, generator.integers(5), replace=False)
        entries = zip(x[row].indices, x[row].data, strict=True)
        pairs = [f"{i}:{digits % v}" for i, v in sorted(entries)]
        rows.append(",".join(map(str, labels)) + " " + " ".join(pairs))
    body = "\n".join(rows).encode() + b"\n"
    read = read_xc(tmp_path, b"300 5000 999\n" + body, chunk_bytes=9999)
    theirs, labels = sklearn.datasets.load_svmlight_file(
        io.BytesIO(body), n_features=5000, multilabel=True, zero_based=True
    )
    sets = np.split(read.label_ids, read.label_splits[1:-1])
    assert [tuple(s) for s in sets] == [tuple(sorted(x)) for x in labels]
    np.testing.assert_array_equal(read.feature_splits, theirs.indptr)
    np.testing.assert_array_equal(read.feature_ids, theirs.indices)
    np.testing.assert_array_equal(
        read.feature_values, theirs.data.astype(np.float32)
    )


@pytest.mark.parametrize(
    "content, line, found",
    [
        (b"", 1, "''"),
        (b"0 1:1\n", 1, "0 1:1"),
        (b"4 6\n", 1, "4 6"),
        (b"1 2 3 4\n", 1, "1 2 3 4"),
        (b"-1 6 5\n", 1, "-1 6 5"),
        (b"1 0 5\n \n", 1, "`num_features` = 0"),
        (b"1 6 2147483648\n \n", 1, "`num_labels` = 2147483648"),
        (b"4 6 5\n\n\n5 0:1\n\n", 4, "label id 5"),
        (b"1 6 5\n0 6:1\n", 2, "feature id 6"),
        (b"1 6 5\n0 99999999999:1\n", 2, "feature id 99999999999"),
        (b"1 6 5\n0 1:1 " + b"9" * 5000 + b":1\n", 2, "feature id '9999"),
        (b"1 6 5\n-1 0:1\n", 2, "label id '-1'"),
        (b"1 6 5\n1.0 0:1\n", 2, "label id '1.0'"),
        (b"1 6 5\n1,,2 0:1\n", 2, "label id ''"),
        (b"1 6 5\n1, 0:1\n", 2, "label id ''"),
        (b"1 6 5\n0 1e0:1\n", 2, "feature id '1e0'"),
        (b"1 6 5\n0 :1\n", 2, "feature id ''"),
        (b"1 6 5\n0 1\n", 2, "'1'"),
        (b"1 6 5\n0 1:\n", 2, "value ''"),
        (b"1 6 5\n0 1:.\n", 2, "value '.'"),
        (b"1 6 5\n0 1:1:1\n", 2, "value '1:1'"),
        (b"1 6 5\n0 1:1.2.3\n", 2, "value '1.2.3'"),
        (b"1 6 5\n0 1:1e\n", 2, "value '1e'"),
        (b"1 6 5\n0 1:--1\n", 2, "value '--1'"),
        (b"1 6 5\n0 1:1_0\n", 2, "value '1_0'"),
        (b"1 6 5\n0 1:nan\n", 2, "value 'nan'"),
        (b"1 6 5\n0 1:-inf\n", 2, "value '-inf'"),
        (b"2 6 5\n\n0 1:1e39\n", 3, "value 1e+39 of feature 1"),
        (b"1 6 5\n0 1:1e999\n", 2, "value inf of feature 1"),
        (b"1 6 5\n0 1:3e38 1:3e38\n", 2, "of feature 1"),
        (b"1 6 5\n0 1:1 \xff\xfe\x00\n", 2, r"\xff\xfe\x00"),
        ("1 6 5\n0 1:٣\n".encode(), 2, r"value '\xd9\xa3'"),
        (b"1 6 5\n0 1:1\r0 2:1\n", 2, "value '1\\r0'"),
        (b"3 6 5\n0 1:1\n0 1:1\n", 3, "2 rows"),
        (b"1 6 5\n0 1:1\n\n0 1:1\n", 3, "one row more"),
        (b"0 6 5\n0 1:1\n", 2, "one row more"),
    ],
)
def test_xc_text_names_the_bad_line(tmp_path, content, line, found):
    path = tmp_path / "train.txt"
    path.write_bytes(content)
    error = error_of(xc_text.read, path)
    assert (error.path, error.line) == (str(path), line)
    assert found in error.found
    assert f"{path}:{line}: found" in str(error)


def test_xc_text_names_the_bad_line_of_any_chunk(tmp_path):
    path = tmp_path / "train.txt"
    path.write_bytes(b"90 6 5\n" + b"1 2:1\n" * 70 + b"1 2:x\n" * 20)
    with pytest.raises(data_errors.DataError) as caught:
        list(xc_text.read(str(path), chunk_bytes=16))
    assert caught.value.line == 72


def damaged_gzip():
    whole = gzip.compress(XC * 50)
    return {
        "cut": whole[:-9],
        "flipped": whole[:40] + bytes([whole[40] ^ 255]) + whole[41:],
        "plain": XC,
        "checksum": whole[:-8] + bytes(8),
    }


@pytest.mark.parametrize("damage", damaged_gzip())
def test_damaged_gzip(tmp_path, damage):
    path = tmp_path / "train.txt.gz"
    path.write_bytes(damaged_gzip()[damage])
    error = error_of(files.line_chunks, path)
    assert "damaged gzip data" in error.found and error.path == str(path)


def test_junk_and_lies_do_not_take_memory(tmp_path):
    (tmp_path / "lie.txt").write_bytes(
        b"1000000000000000 2000000000 9\n0 1:1\n"
    )
    (tmp_path / "bomb.txt.gz").write_bytes(gzip.compress(bytes(1 << 27), 1))
    tracemalloc.start()
    assert error_of(xc_text.read, tmp_path / "lie.txt").found.startswith("1 ")
    assert tracemalloc.get_traced_memory()[1] < 10e6
    error = error_of(files.line_chunks, tmp_path / "bomb.txt.gz")
    assert "without a line break" in error.found
    assert tracemalloc.get_traced_memory()[1] < 1.2 * (1 << 26)
    tracemalloc.stop()


def test_fast_parser_takes_ordinary_files():
    for value in ("1", "0.25", "1e-05", "-3.5", "0.12345678901234567"):
        chunk = b"1,2 3:%s 45678:2\n 1:1\n\n7\n" % value.encode()
        parsed = row_grammar.parse(chunk)
        assert parsed.feature_values.tolist() == [float(value), 2, 1]
        assert parsed.label_ids.tolist() == [1, 2, 7]


@pytest.mark.parametrize("chunk_bytes", [1, 9, 1 << 17])
def test_xy_sparse_by_hand(tmp_path, chunk_bytes):
    x, y = tmp_path / "trn_X_Xf.txt", tmp_path / "trn_X_Y.txt"
    x.write_bytes(b"4 6\n0:1 2:0.5\n\n5:2 1:3\n3:1 3:1\n")
    y.write_bytes(b"4 5\n3:1 1:1 1:1\n0:1\n2:1.0 4:0\n\n")
    assert xy_sparse.read_header(str(x), str(y)) == (4, 6, 5)
    read = instances.concatenate(
        xy_sparse.read(str(x), str(y), chunk_bytes=chunk_bytes)
    )
    assert read.feature_splits.tolist() == [0, 2, 2, 4, 5]
    assert read.feature_ids.tolist() == [0, 2, 1, 5, 3]
    assert read.feature_values.tolist() == [1, 0.5, 3, 2, 2]
    assert read.label_splits.tolist() == [0, 2, 3, 4, 4]
    assert read.label_ids.tolist() == [1, 3, 0, 2]


@pytest.mark.parametrize(
    "x, y, bad, line, found",
    [
        (b"2 6\n\n\n", b"3 5\n\n\n\n", "y", 1, "3 rows"),
        (b"2 6\n\n", b"2 5\n\n\n", "x", 2, "1 rows"),
        (b"2 6\n\n\n", b"2 5\n\n", "y", 2, "1 rows"),
        (b"2 6\n\n\n", b"2 5\n\n\n0:1\n", "y", 4, "one row more"),
        (b"1 6\n0:1\n", b"1 5\n5:0\n", "y", 2, "label id 5"),
        (b"1 6\n6:1\n", b"1 5\n0:1\n", "x", 2, "feature id 6"),
        (b"2 6\n\n1:x\n", b"2 5\n\n\n", "x", 3, "value 'x'"),
        (b"2 6\n\n3 1:1\n", b"2 5\n\n\n", "x", 3, "3 without a value"),
        (b"2 6\n\n\n", b"2 5\n\n4\n", "y", 3, "4 without a value"),
        (b"2 6 5\n\n\n", b"2 5\n\n\n", "x", 1, "2 6 5"),
    ],
)
def test_xy_sparse_names_the_bad_line(tmp_path, x, y, bad, line, found):
    paths = {"x": tmp_path / "x.txt", "y": tmp_path / "y.txt"}
    paths["x"].write_bytes(x)
    paths["y"].write_bytes(y)
    error = error_of(xy_sparse.read, paths["x"], paths["y"])
    assert (error.path, error.line) == (str(paths[bad]), line)
    assert found in error.found
