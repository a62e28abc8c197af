"""Word vectors out of text and binary files, as their writers lay them out."""

import gzip
import struct

import numpy as np
import pytest

from tfxml.data import data_errors
from tfxml.data.text import word_vectors

WORDS = ["omega", "größe", "missing", "alpha"]
VECTORS = {"alpha": [1, 2.5, -3], "größe": [0.5, 0, 1], "other": [9, 9, 9]}
WANTED = np.array([[0] * 3, VECTORS["größe"], [0] * 3, VECTORS["alpha"]])
LINES = "".join(
    f"{word} {' '.join(map(str, vector))}\n" for word, vector in VECTORS.items()
)


def _binary(end=b""):
    return b"3 3\n" + b"".join(
        word.encode() + b" " + struct.pack("<3f", *vector) + end
        for word, vector in VECTORS.items()
    )


CONTENTS = {
    "fasttext.vec": f"3 3\n{LINES}".encode(),
    "glove.txt": LINES.encode(),
    "spaces.txt": f". . . 4 5 6\n{LINES}".encode(),
    "word2vec.bin": _binary(),
    "lines.bin": _binary(b"\n"),
}


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("name", list(CONTENTS))
def test_vectors_are_found_by_word(name, is_packed, tmp_path):
    path = tmp_path / (name + ".gz" * is_packed)
    content = CONTENTS[name]
    path.write_bytes(gzip.compress(content) if is_packed else content)
    vectors, is_there = word_vectors.read(path, WORDS, 3)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, WANTED)
    assert is_there.tolist() == [False, True, False, True]


@pytest.mark.parametrize("number", [2, 4])
@pytest.mark.parametrize("name", list(CONTENTS))
def test_other_dimensions_are_refused(name, number, tmp_path):
    path = tmp_path / name
    path.write_bytes(CONTENTS[name])
    with pytest.raises(data_errors.DataError, match=f"word_dim={number}"):
        word_vectors.read(path, WORDS, number)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.bin", _binary()[:-2]),
        ("cut.bin", b"9 3\n" + _binary()[4:]),
        ("sizes.bin", b"\x00\x01\x02\x03\n"),
        ("words.txt", b"alpha 1 2 three\n"),
        ("nan.txt", b"alpha 1 2 nan\n"),
    ],
)
def test_damaged_files_are_refused(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(data_errors.DataError, match=name):
        word_vectors.read(path, WORDS, 3)
