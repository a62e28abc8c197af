"""What prediction reads, and what it refuses."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfxml.data import data_errors, requests


def _read(*lines, is_text=True):
    return list(requests.read(lines, "in", num_features=10, is_text=is_text))


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"text": "a b"}, "a b"),
        ({"title": "a", "content": "b"}, "a b"),
        ({"title": "a", "content": None}, "a"),
        ({"content": "b"}, "b"),
        ({"text": ""}, ""),
    ],
)
def test_text(row, text):
    (request,) = _read(json.dumps({**row, "uid": 3}))
    assert (request.text, request.uid) == (text, 3)


def test_features():
    row = {"feature_ids": [9, 0, 9], "feature_values": [0.5, 2, 1]}
    (request,) = _read(json.dumps(row))
    np.testing.assert_array_equal(request.feature_ids, [0, 9])
    np.testing.assert_array_equal(request.feature_values, [2.0, 1.5])
    assert request.text is None


def test_values_default_to_one_and_blank_lines_are_skipped():
    (request,) = _read("\n", '{"feature_ids": [1]}', "  ")
    np.testing.assert_array_equal(request.feature_values, [1.0])


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("{", "a JSON object"),
        ("[1]", "a JSON object"),
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
