"""The npz reader against scipy, and every way in which a file can lie."""

import tracemalloc
import zipfile

import numpy as np
import pytest
import scipy.sparse

from tfxml.data import data_errors, instances
from tfxml.data.formats import matrices


def draw():
    generator = np.random.default_rng(1)
    x = scipy.sparse.random(70, 90, 0.1, "csr", np.float32, generator)
    y = scipy.sparse.random(70, 40, 0.1, "csr", np.float32, generator)
    x.sort_indices()
    y.sort_indices()
    return x, y


def arrays():
    """Returns the arrays of save_npz for [[0, 1.5], [0, 0], [2, 3]]."""
    return {
        "format": np.array(b"csr"),
        "shape": np.array([3, 2]),
        "indptr": np.array([0, 1, 1, 3], np.int32),
        "indices": np.array([1, 0, 1], np.int32),
        "data": np.array([1.5, 2, 3]),
    }


@pytest.fixture
def pair(tmp_path):
    """Returns a function that writes X and Y and returns their paths."""

    def write(x=None, y=None):
        np.savez(tmp_path / "X.trn.npz", **(arrays() | (x or {})))
        np.savez(tmp_path / "Y.trn.npz", **(arrays() | (y or {})))
        return str(tmp_path / "X.trn.npz"), str(tmp_path / "Y.trn.npz")

    return write


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("rows_per_run", [1, 9, 1024])
def test_against_scipy(tmp_path, compressed, index, rows_per_run):
    x, y = draw()
    for name, matrix in (("X", x), ("Y", y)):
        matrix.indptr = matrix.indptr.astype(index)
        matrix.indices = matrix.indices.astype(index)
        scipy.sparse.save_npz(tmp_path / f"{name}.npz", matrix, compressed)
    paths = str(tmp_path / "X.npz"), str(tmp_path / "Y.npz")
    assert matrices.read_header(*paths) == (70, 90, 40)
    read = instances.concatenate(matrices.read(*paths, rows_per_run))
    np.testing.assert_array_equal(read.feature_splits, x.indptr)
    np.testing.assert_array_equal(read.feature_ids, x.indices)
    np.testing.assert_array_equal(read.feature_values, x.data)
    np.testing.assert_array_equal(read.label_splits, y.indptr)
    np.testing.assert_array_equal(read.label_ids, y.indices)
    assert read.feature_values.dtype == np.float32
    assert read.feature_ids.dtype == read.label_ids.dtype == np.int32


def test_order_repeats_and_zeros(pair):
    paths = pair(
        {"indices": np.array([1, 1, 0], np.int32)},
        {"data": np.array([0.0, 1, 0]), "indices": np.array([1, 1, 0])},
    )
    read = instances.concatenate(matrices.read(*paths))
    assert read.feature_ids.tolist() == [1, 0, 1]
    assert read.feature_values.tolist() == [1.5, 3, 2]
    assert read.label_splits.tolist() == [0, 0, 0, 1]
    assert read.label_ids.tolist() == [1]
    paths = pair({"indices": np.array([1, 1, 1], np.int32)})
    read = instances.concatenate(matrices.read(*paths))
    assert read.feature_splits.tolist() == [0, 1, 1, 2]
    assert read.feature_values.tolist() == [1.5, 5]


@pytest.mark.parametrize(
    "dtype", ["bool", ">f4", "f2", "f8", "i1", "u8", "int64"]
)
def test_dtypes_of_values(pair, dtype):
    values = np.array([1, 1, 1]).astype(dtype)
    paths = pair({"data": values}, {"data": values})
    read = instances.concatenate(matrices.read(*paths))
    assert read.feature_values.tolist() == [1, 1, 1]
    assert read.label_ids.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "change, found",
    [
        ({"format": np.array(b"bsr")}, "`format` with 'bsr'"),
        ({"shape": np.array([3])}, "`shape`"),
        ({"shape": np.array([3.0, 2.0])}, "float64"),
        ({"shape": np.array([-1, 2])}, "-1 x 2"),
        ({"shape": np.array([3, 0])}, "3 x 0"),
        ({"shape": np.array([3, 2**31])}, "3 x 2147483648"),
        ({"shape": np.array([10**15, 2])}, "`indptr` with 4 elements"),
        ({"indptr": np.array([0, 1, 1, 2])}, "after those of the last row"),
        ({"indptr": np.array([0, 2, 1, 3])}, "elements that fall"),
        ({"indptr": np.array([1, 1, 1, 3])}, "first element 1"),
        ({"indptr": np.array([0, 1, 1, 4])}, "`indices` with 3 elements"),
        ({"indptr": np.array([0, 1, 2**62, 2**63 - 1])}, "`indices` with"),
        ({"indptr": np.array([0.0, 1, 1, 3])}, "float64"),
        ({"indices": np.array([1, 0, 2])}, "id 2 in row 2"),
        ({"indices": np.array([-1, 0, 1])}, "id -1 in row 0"),
        ({"indices": np.array([1, 0])}, "`data` with 3 elements"),
        ({"data": np.array([1, np.nan, 1])}, "value nan"),
        ({"data": np.array([1, 1, np.inf])}, "value inf"),
        ({"data": np.array([1, 1, 1j])}, "npy header"),
        ({"data": np.array([None, None, None])}, "npy header"),
        ({"data": np.array(["a", "b", "c"])}, "<U1"),
    ],
)
@pytest.mark.parametrize("bad", ["x", "y"])
def test_names_what_is_wrong(pair, change, found, bad):
    paths = pair(**{bad: change})
    with pytest.raises(data_errors.DataError) as caught:
        list(matrices.read(*paths))
    assert found in caught.value.found
    assert caught.value.path == paths[bad == "y"]


def test_values_that_float32_cannot_hold(pair):
    paths = pair({"data": np.array([1, 1, 1e39])})
    with pytest.raises(
        data_errors.DataError, match="1e\\+39 of feature 1 in row 2"
    ):
        list(matrices.read(*paths))


def test_missing_array_and_other_row_count(pair, tmp_path):
    x, y = pair()
    np.savez(y, **{k: v for k, v in arrays().items() if k != "indptr"})
    with pytest.raises(data_errors.DataError, match="no `indptr`"):
        matrices.read_header(x, y)
    np.savez(
        y,
        **arrays() | {"shape": np.array([2, 2]), "indptr": np.array([0, 1, 3])},
    )
    with pytest.raises(data_errors.DataError, match="2 rows; needed 3"):
        matrices.read_header(x, y)
    (tmp_path / "Y.trn.npz").write_bytes(b"PK\3\4 no archive")
    with pytest.raises(data_errors.DataError, match="no readable npz"):
        matrices.read_header(x, y)
    with pytest.raises(FileNotFoundError):
        matrices.read_header(x, str(tmp_path / "none.npz"))


def test_flipped_byte_fails_the_checksum(pair):
    x, y = pair()
    with open(x, "rb") as file:
        content = file.read()
    value = np.float64(1.5).tobytes()
    assert content.count(value) == 1
    with open(x, "wb") as file:
        file.write(content.replace(value, np.float64(2.5).tobytes()))
    with pytest.raises(data_errors.DataError, match="CRC"):
        list(matrices.read(x, y))


def test_lying_header_does_not_take_memory(pair, tmp_path):
    """All four sizes agree on 10**15 rows; the bytes are not there."""
    x, y = pair()
    huge = 10**15
    header = b"{'descr': '<i4', 'fortran_order': False, 'shape': (%d,), }"
    for path in (x, y):
        with zipfile.ZipFile(path, "w") as archive:
            for name, size in (
                ("indptr", huge + 1),
                ("indices", huge),
                ("data", huge),
            ):
                text = header % size
                head = b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little")
                archive.writestr(f"{name}.npy", head + text + bytes(400))
            for name, value in (
                ("format", np.array(b"csr")),
                ("shape", np.array([huge, 2])),
            ):
                with archive.open(f"{name}.npy", "w") as file:
                    np.lib.format.write_array(file, value)
    assert matrices.read_header(x, y) == (huge, 2, 2)
    tracemalloc.start()
    with pytest.raises(data_errors.DataError, match="an early end"):
        list(matrices.read(x, y))
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()
