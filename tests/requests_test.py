"""What prediction reads, and what it refuses."""

import gzip
import io
import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxml.data import data_errors, files, requests


def _read(*lines, is_text=True):
    return list(requests.read(lines, "in", num_features=10, is_text=is_text))


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": "a b"}, "a b"),
        ({"title": "a", "content": "b"}, "a b"),
        ({"title": "a", "content": None}, "a"),
        ({"title": "", "content": "b"}, "b"),
        ({"text": None}, ""),
        ({"content": "b"}, "b"),
        ({"text": ""}, ""),
    ],
)
def test_text(row, text):
    (request,) = _read(json.dumps({**row, "uid": 3}))
    assert (request.text, request.uid, request.line) == (text, 3, 1)


def test_features():
    row = {"feature_ids": [9, 0, 9], "feature_values": [0.5, 2, 1]}
    (request,) = _read(json.dumps(row))
    np.testing.assert_array_equal(request.feature_ids, [0, 9])
    np.testing.assert_array_equal(request.feature_values, [2.0, 1.5])
    assert request.text is None


def test_values_default_to_one_and_blank_lines_are_told():
    first, request, last = _read("\n", '{"feature_ids": [1]}', "  ")
    np.testing.assert_array_equal(request.feature_values, [1.0])
    assert [first, last] == [requests.Skipped(None, 1), (None, 3)]


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("{", "a JSON object"),
        ("[1]", "a JSON object"),
        ("[" * 100_000, "a JSON object"),
        ('{"uid": ' * 100_000, "a JSON object"),
        (b'{"text": "\xe4"}', "UTF-8"),
        ('{"text": "a", "uid": NaN}', "finite"),
        ('{"text": "a", "uid": 1e999}', "finite"),
        ('{"text": "a", "uid": [1]}', "a string or a number"),
        ('{"text": "a", "uid": "\\udfff"}', "Unicode"),
        ('{"text": "a", "title": "b"}', "one of both"),
        (f'{{"feature_ids": [{10**30}]}}', "ids from 0 to 9"),
        ('{"txt": "a"}', "text, title or content"),
        ('{"text": 3}', "strings"),
        ('{"text": "\\ud800"}', "Unicode"),
        ('{"feature_ids": [10]}', "ids from 0 to 9"),
        ('{"feature_ids": [-1]}', "ids from 0 to 9"),
        ('{"feature_ids": [1.0]}', "whole numbers"),
        ('{"feature_ids": [true]}', "whole numbers"),
        ('{"feature_ids": [1], "feature_values": [1, 2]}', "as many"),
        ('{"feature_ids": [1], "feature_values": [NaN]}', "finite"),
        ('{"feature_ids": [1], "feature_values": [1e39]}', "finite"),
        (
            '{"feature_ids": [1, 1], "feature_values": [3e38, 3e38]}',
            "finite",
        ),
    ],
)
def test_errors_name_the_line(line, needed):
    with pytest.raises(data_errors.DataError, match=needed) as error:
        _read('{"text": "fine"}', line)
    assert str(error.value).startswith("in:2: found ")
    assert len(str(error.value)) < 400
    rows = ['{"text": "fine"}', line, '{"text": "too"}']
    first, bad, last = requests.read(rows, "in", 10, True, is_skipping=True)
    assert (first.text, last.text, last.line) == ("fine", "too", 3)
    assert (bad.line, str(bad.error)) == (2, str(error.value))


def _lines(content):
    return list(requests.lines(io.BufferedReader(io.BytesIO(content)), "in"))


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\nb\n", [b"a\n", b"b\n"]),
        (b"\xef\xbb\xbfa\r\n\n", [b"a\r\n", b"\n"]),
        (gzip.compress(b"\xef\xbb\xbfa\nb", mtime=0), [b"a\n", b"b"]),
        (
            gzip.compress(b"a\n", mtime=0) + gzip.compress(b"b", mtime=0),
            [b"a\n", b"b"],
        ),
    ],
)
def test_lines_gzip_or_not_without_a_mark(content, wanted):
    assert _lines(content) == wanted


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ('{"text": "a"}'.encode("utf-16"), "in:1: found UTF-16; needed UTF-8"),
        ('{"text": "a"}'.encode("utf-32"), "in:1: found UTF-32; needed UTF-8"),
        (gzip.compress(b"a\n" * 99, mtime=0)[:-9], "in:1: found damaged gzip"),
        (b"\x1f\x8bnothing", "in:1: found damaged gzip"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(content, found):
    with pytest.raises(data_errors.DataError, match=found):
        _lines(content)


def test_a_line_that_is_too_long_is_not_held(monkeypatch):
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 20)
    text = b'{"text": "a"}\n'
    found = _lines(text + b"x" * 90 + b"\n" + text + b"y" * 30)
    assert found == [text, files.TOO_LONG, text, files.TOO_LONG]
    read = list(requests.read(found, "in", 10, True, is_skipping=True))
    assert [one.line for one in read if isinstance(one, requests.Skipped)] == [
        2,
        4,
    ]


def test_lines_come_as_they_are_written():
    """As where a program asks, and waits for the answer."""
    reader, writer = os.pipe()
    with open(reader, "rb") as source:
        found = requests.lines(source, "in")
        for number in range(3):
            os.write(writer, b'{"text": "%d"}\n' % number)
            assert next(found) == b'{"text": "%d"}\n' % number
        os.close(writer)
        assert list(found) == []


def test_a_model_of_features_takes_no_text():
    with pytest.raises(data_errors.DataError, match="feature_ids"):
        _read('{"text": "a"}', is_text=False)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "title", "feature_ids", "feature_values"]),
            inner,
        )
    ),
    max_leaves=8,
)


@given(st.one_of(_JSON.map(json.dumps), st.text()))
def test_any_line_is_read_or_refused(line):
    try:
        _read(line)
    except data_errors.DataError:
        pass
