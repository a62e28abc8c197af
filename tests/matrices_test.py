"""The npz reader against scipy, and every way in which a file can lie."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
import scipy.sparse

from tfxml.data import bad_rows, data_errors, instances
from tfxml.data.formats import folder, matrices, read_options


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


def save(path, matrix, layout):
    """Saves a CSR matrix in some layout."""
    if layout == "npy":
        np.save(path.with_suffix(".npy"), matrix.toarray())
        return str(path.with_suffix(".npy"))
    path = path.with_suffix(".npz")
    if layout.startswith("dense"):
        save_dense = np.savez_compressed if "z" in layout else np.savez
        save_dense(path, matrix.toarray())
    elif layout == "coo_array":
        scipy.sparse.save_npz(path, scipy.sparse.coo_array(matrix))
    elif layout == "csc_mixed":
        mixed = matrix.tocsc()
        for column in range(mixed.shape[1]):
            here = slice(*mixed.indptr[column : column + 2])
            mixed.indices[here] = mixed.indices[here][::-1]
            mixed.data[here] = mixed.data[here][::-1]
        scipy.sparse.save_npz(path, mixed)
    else:
        scipy.sparse.save_npz(path, matrix.asformat(layout))
    return str(path)


LAYOUTS = [
    "csr",
    "csc",
    "csc_mixed",
    "coo",
    "coo_array",
    "dense",
    "densez",
    "npy",
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("label_layout", ["csr", "csc", "coo", "npy"])
@pytest.mark.parametrize("rows_per_run", [7, 1024])
def test_every_layout_reads_the_same(
    tmp_path, layout, label_layout, rows_per_run
):
    x, y = draw()
    paths = (
        save(tmp_path / "X.trn", x, layout),
        save(tmp_path / "Y.trn", y, label_layout),
    )
    assert matrices.read_header(*paths) == (70, 90, 40)
    for wanted in (None, range(3, 50), range(69, 70), range(70)):
        rows = range(70) if wanted is None else wanted
        read = instances.concatenate(
            matrices.read(*paths, rows_per_run, wanted=wanted)
        )
        part = x[rows.start : rows.stop], y[rows.start : rows.stop]
        np.testing.assert_array_equal(read.feature_splits, part[0].indptr)
        np.testing.assert_array_equal(read.feature_ids, part[0].indices)
        np.testing.assert_array_equal(read.feature_values, part[0].data)
        np.testing.assert_array_equal(read.label_splits, part[1].indptr)
        np.testing.assert_array_equal(read.label_ids, part[1].indices)


@pytest.mark.parametrize(
    "names",
    [
        ("X.trn.npz", "Y.trn.npz"),
        ("X_train.npy", "y_train.npy"),
        ("train_X.npy", "train_Y.npz"),
        ("trn_X_Xf.npz", "trn_X_Y.npz"),
    ],
)
def test_names_of_files(tmp_path, names):
    for name, matrix in zip(names, draw(), strict=True):
        stem, _, ending = name.rpartition(".")
        path = save(tmp_path / "m", matrix, "npy" if ending == "npy" else "csr")
        (tmp_path / "m").with_suffix("." + ending).rename(tmp_path / name)
        assert path.endswith(ending)
    found = folder.detect(str(tmp_path))
    assert (found.format, found.splits) == ("matrices", ("train",))
    assert (found.num_features, found.num_labels) == (90, 40)
    assert found.num_instances("train") == 70


def test_labels_of_an_indicator_matrix(tmp_path):
    np.save(tmp_path / "X.npy", np.float16([[0, 2], [0, 0], [-1, 0.5]]))
    np.save(
        tmp_path / "Y.npy", np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]], bool)
    )
    paths = str(tmp_path / "X.npy"), str(tmp_path / "Y.npy")
    read = instances.concatenate(matrices.read(*paths))
    assert read.feature_splits.tolist() == [0, 1, 1, 3]
    assert read.feature_ids.tolist() == [1, 0, 1]
    assert read.feature_values.tolist() == [2, -1, 0.5]
    assert read.label_splits.tolist() == [0, 2, 2, 3]
    assert read.label_ids.tolist() == [0, 2, 1]
    order = np.asfortranarray(np.load(paths[0]))
    np.save(paths[0], order)
    again = instances.concatenate(matrices.read(*paths))
    np.testing.assert_array_equal(read.feature_values, again.feature_values)


def columns():
    """Returns the arrays of a CSC matrix [[0, 1.5], [0, 0], [2, 3]]."""
    return arrays() | {
        "format": np.array(b"csc"),
        "indptr": np.array([0, 1, 3], np.int32),
        "indices": np.array([2, 0, 2], np.int32),
        "data": np.array([2, 1.5, 3]),
    }


def coordinates():
    """Returns the arrays of the same matrix in COO."""
    return {
        "format": np.array(b"coo"),
        "shape": np.array([3, 2]),
        "row": np.array([2, 0, 2], np.int32),
        "col": np.array([0, 1, 1], np.int32),
        "data": np.array([2, 1.5, 3]),
    }


@pytest.mark.parametrize(
    "good, change, found",
    [
        (columns, {}, None),
        (columns, {"indptr": np.array([0, 3])}, "`indptr` with 2 elements"),
        (columns, {"indptr": np.array([0, 4, 3])}, "elements that fall"),
        (columns, {"indptr": np.array([1, 1, 3])}, "first element 1"),
        (columns, {"indptr": np.array([0, 1, 2])}, "`indices` with 3 elements"),
        (columns, {"indices": np.array([3, 0, 2])}, "row 3"),
        (columns, {"indices": np.array([-1, 0, 2])}, "row -1"),
        (columns, {"data": np.array([1.0])}, "`data` with 1 elements"),
        (columns, {"data": np.array([1, 1, np.nan])}, "value nan of feature 1"),
        (columns, {"shape": np.array([2**40, 2])}, "1099511627776 rows"),
        (coordinates, {}, None),
        (coordinates, {"row": np.array([0, 1, 3])}, "row 3"),
        (coordinates, {"row": np.array([0, -1, 1])}, "row -1"),
        (coordinates, {"row": np.array([0, 1])}, "`data` with 3 elements"),
        (coordinates, {"col": np.array([0, 1])}, "`col` with 2 elements"),
        (coordinates, {"col": np.array([0, 1, 2])}, "feature id 2 in row 2"),
        (coordinates, {"col": np.array([0, 1, -1])}, "feature id -1 in row 2"),
        (coordinates, {"row": np.array([0.0, 1, 2])}, "float64"),
        (coordinates, {"data": np.array([1, 1, 1e39])}, "value 1e+39"),
        (coordinates, {"shape": np.array([3, 0])}, "3 x 0"),
    ],
)
def test_columns_and_coordinates_good_and_broken(pair, change, good, found):
    paths = pair()
    np.savez(paths[0], **(good() | change))
    if found is None:
        read = instances.concatenate(matrices.read(*paths))
        assert read.feature_splits.tolist() == [0, 1, 1, 3]
        assert read.feature_values.tolist() == [1.5, 2, 3]
        assert read.feature_ids.tolist() == [1, 0, 1]
        return
    with pytest.raises(data_errors.DataError) as caught:
        list(matrices.read(*paths))
    assert found in caught.value.found
    assert caught.value.path == paths[0]


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "content, found",
    [
        (npy(np.ones((3, 2))), None),
        (npy(np.ones((3, 2), bool)), None),
        (npy(np.ones((2, 2))), "3 rows"),
        (npy(np.ones(3)), "shape (3,)"),
        (npy(np.ones((3, 2, 1))), "shape (3, 2, 1)"),
        (npy(np.ones((3, 0))), "shape (3, 0)"),
        (npy(np.ones((3, 2)))[:-1], "47 bytes after the header"),
        (npy(np.ones((3, 2))) + b" ", "49 bytes after the header"),
        (npy(np.full((3, 2), "a")), "<U1"),
        (npy(np.ones((3, 2))).replace(b"'<f8'", b"'|O8'"), "no npy header"),
        (npy(np.float32([[1, 2], [3, np.inf], [0, 0]])), "value inf of"),
        (b"", "no npy header"),
        (b"\x93NUMPY", "no npy header"),
        (b"X Y\n1 2\n", "no npy header"),
    ],
)
def test_npy_good_and_broken(pair, tmp_path, content, found):
    _, labels = pair()
    path = str(tmp_path / "X.trn.npy")
    (tmp_path / "X.trn.npy").write_bytes(content)
    if found is None:
        read = instances.concatenate(matrices.read(path, labels))
        assert read.feature_values.tolist() == [1] * 6
        return
    with pytest.raises(data_errors.DataError) as caught:
        list(matrices.read(path, labels))
    assert found in caught.value.found
    if "rows" not in found:
        assert caught.value.path == path


@pytest.mark.parametrize(
    "saved, found",
    [
        ({"a": np.ones((3, 2)), "b": np.ones(3)}, "the arrays a, b"),
        ({"a": np.asfortranarray(np.ones((3, 2)))}, "columns that follow"),
        ({}, "the arrays of an empty archive"),
        ({"a": np.ones((3, 2))}, None),
    ],
)
def test_dense_archives(pair, saved, found):
    paths = pair()
    np.savez(paths[0], **saved)
    if found is None:
        (run,) = matrices.read(*paths)
        assert run.feature_splits.tolist() == [0, 2, 4, 6]
        return
    with pytest.raises(data_errors.DataError) as caught:
        list(matrices.read(*paths))
    assert found in caught.value.found


def test_a_mapped_matrix_is_never_held(tmp_path):
    """2 GB of zeros, a hole in the file, with a value in its last row."""
    path = tmp_path / "X.trn.npy"
    cells = np.lib.format.open_memmap(path, "w+", np.float32, (500_000, 1000))
    cells[-1, 7] = 2
    del cells
    y = scipy.sparse.csr_matrix((500_000, 3), dtype=np.float32)
    scipy.sparse.save_npz(tmp_path / "Y.trn.npz", y)
    found = folder.detect(str(tmp_path))
    tracemalloc.start()
    (run,) = found.read("train", wanted=range(499_000, 500_000))
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()
    assert run.feature_splits[-2:].tolist() == [0, 1]
    assert (run.feature_ids, run.feature_values) == ([7], [2])


# --- dense features beside ----------------------------------------------


def _with_dense(path, dense, num_test=20):
    """Writes a data set of libsvm rows with dense features; returns both."""
    x, y = draw()
    edge = x.shape[0] - num_test
    for split, rows in (("train", slice(edge)), ("test", slice(edge, None))):
        scipy.sparse.save_npz(path / f"X.{split}.npz", x[rows])
        scipy.sparse.save_npz(path / f"Y.{split}.npz", y[rows])
        np.save(path / f"dense_{split}.npy", dense[rows])
    return scipy.sparse.hstack([x, dense], "csr"), y, edge


def _matrix(runs, width):
    run = instances.concatenate(runs)
    return scipy.sparse.csr_matrix(
        (run.feature_values, run.feature_ids, run.feature_splits),
        (run.num_instances, width),
    )


def test_dense_features_beside_the_rows(tmp_path):
    dense = np.random.default_rng(2).normal(size=(70, 7)).astype(np.float32)
    dense[3] = 0
    both, _, edge = _with_dense(tmp_path, dense)
    found = folder.detect(str(tmp_path))
    assert (found.num_features, found.format) == (97, "matrices")
    assert "7 dense features beside each row" in found.notes
    for split, rows in (("train", slice(edge)), ("test", slice(edge, None))):
        read = _matrix(found.read(split), 97)
        assert abs(read - both[rows]).max() == 0
    read = _matrix(found.read("train", wanted=range(9, 21)), 97)
    assert abs(read - both[9:21]).max() == 0
    read = _matrix(found.read("train", bad_rows.BadRows("skip")), 97)
    assert abs(read - both[:edge]).max() == 0
    x = both[:edge, :90].tolil()
    x[7, 7] = np.nan
    scipy.sparse.save_npz(tmp_path / "X.train.npz", x.tocsr())
    with pytest.raises(data_errors.DataError, match="of which 1 are bad"):
        list(found.read("train", bad_rows.BadRows("skip")))


def test_dense_features_of_rows_held_out(tmp_path):
    dense = np.random.default_rng(2).normal(size=(70, 2)).astype(np.float32)
    both, _, _ = _with_dense(tmp_path, dense, num_test=0)
    for path in tmp_path.glob("*test*"):
        path.unlink()
    options = read_options.ReadOptions(test_fraction=0.3)
    found = folder.detect(str(tmp_path), options)
    read = _matrix(found.read("test"), 92)
    assert abs(read - both[found.chosen["test"]]).max() == 0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"dense_test.npy": np.ones((20, 3))}, "3 columns.*needed 7"),
        ({"dense_test.npy": np.ones((19, 7))}, "19 rows.*needed 20"),
        ({"dense_test.npy": np.full((20, 7), np.nan)}, "NaN .* in row 0"),
        ({"dense_test.npy": np.ones(20)}, "shape"),
        ({"dense_test.npy": None}, "dense features of train alone"),
    ],
)
def test_bad_dense_features(tmp_path, change, message):
    _with_dense(tmp_path, np.ones((70, 7), np.float32))
    for name, array in change.items():
        (tmp_path / name).unlink()
        if array is not None:
            np.save(tmp_path / name, array)
    with pytest.raises(data_errors.DataError, match=message):
        list(folder.detect(str(tmp_path)).read("test"))


def test_dense_features_beside_texts_are_refused(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "a", "labels": ["b"]}\n')
    np.save(tmp_path / "dense.train.npy", np.ones((1, 2)))
    with pytest.raises(data_errors.DataError, match="from_text"):
        folder.detect(str(tmp_path))
