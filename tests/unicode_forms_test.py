"""NFC and NFKC in the graph, against Python's `unicodedata`."""

import functools
import itertools
import os
import subprocess
import sys
import unicodedata

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tfxml.data.text import text_options, tokenizer, unicode_forms

FORMS = ("NFC", "NFKC")
CHARACTERS = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if not 0xD800 <= code < 0xE000
]
MARKS = [c for c in CHARACTERS if unicodedata.combining(c)]
COMPOSED = [
    c
    for c in CHARACTERS
    if unicodedata.normalize("NFD", c) != c and not "가" <= c <= "힣"
]
COMPATIBLE = [
    c for c in CHARACTERS if unicodedata.decomposition(c).startswith("<")
]
JAMO = [chr(code) for code in range(0x1100, 0x1200)]
SYLLABLES = ["가", "각", "힣", "한", "글", "뷁"]
PARTS = sorted(
    {part for c in COMPOSED for part in unicodedata.normalize("NFD", c)}
)
TEXTS = [
    "plain",
    "",
    "café cafe\u0301 \u212bngstro\u0308m",
    "a\u0327\u0301b a\u0301\u0327b",  # two orders of the same marks
    "a\u0315\u0300\u05ae\u0300\u0062",  # the second grave is blocked
    "q\u0307\u0323 \u1e0b\u0323 d\u0323\u0307",
    "u\u0308\u0304\u0301 \u01d6\u0301",  # marks one upon the other
    "ﬁ ﬃ\u0301 x² ㍻ ﷺ ｶﾞ ①",
    "\u1112\u1161\u11ab\u1100\u1173\u11af 한글 가\u11a8",
    "\u09c7\u09be \u0cc6\u0cc2\u0cd5 \u0dd9\u0dcf\u0dca",  # starters on one
    "\u0301 begins with a mark, \u1161 or with a vowel",
    "\ufeffafter a mark of the order of bytes\ufeff",
    "zero\0byte e\u0301\0\u0301",
]


@functools.cache
def graph(form):
    return tokenizer.graph(unicode_forms.normalizer(form))


def normalize(form, texts):
    found = graph(form)(tokenizer.tensor(texts))
    return [text.decode() for text in found.numpy()]


def assert_normalized(form, texts):
    found = normalize(form, texts)
    wanted = [unicodedata.normalize(form, text) for text in texts]
    assert [
        tuple(map(ascii, one))
        for one in zip(texts, found, wanted, strict=True)
        if one[1] != one[2]
    ] == []


@pytest.mark.parametrize("form", FORMS)
def test_texts(form):
    assert_normalized(form, TEXTS)
    assert any(unicodedata.normalize(form, text) != text for text in TEXTS)


@pytest.mark.parametrize("form", FORMS)
def test_every_character(form):
    assert_normalized(form, CHARACTERS)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("around", ["a{}b", "{}\u0301", "\u0928{}\u093c"])
def test_every_character_among_others(form, around):
    assert_normalized(
        form,
        [
            around.format(c)
            for c in CHARACTERS
            if unicodedata.category(c) not in ("Cn", "Co")
        ],
    )


@pytest.mark.parametrize("form", FORMS)
def test_every_composition(form):
    texts = [
        before + unicodedata.normalize("NFD", c) + after
        for c in [*COMPOSED, *map(chr, range(0xAC00, 0xD7A4))]
        for before, after in (("", ""), ("x", "y"), ("\u0323", "\u0323"))
    ]
    assert_normalized(form, texts)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_pairs_of_all_that_composes(form):
    last = {unicodedata.normalize("NFD", c)[-1] for c in COMPOSED}
    pairs = itertools.product([*PARTS, *JAMO], [*sorted(last), *JAMO[::9]])
    assert_normalized(form, ["".join(pair) for pair in pairs])


@pytest.mark.parametrize("form", FORMS)
def test_random_runs_of_what_composes(form):
    rng = np.random.default_rng(0)
    pool = [*PARTS, *COMPOSED, *MARKS, *JAMO, *SYLLABLES, *COMPATIBLE, *"abc "]
    lengths = rng.integers(2, 9, 30_000)
    picked = (rng.integers(0, len(pool), length) for length in lengths)
    assert_normalized(form, ["".join(pool[i] for i in row) for row in picked])


_RICH = (
    st.sampled_from(MARKS)
    | st.sampled_from(PARTS)
    | st.sampled_from(COMPOSED + SYLLABLES)
    | st.sampled_from(COMPATIBLE)
    | st.sampled_from(JAMO)
    | st.sampled_from("abce \0\n\u0301\u0323\u0327")
    | st.characters(exclude_categories=["Cs"])
)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(
    st.sampled_from(FORMS), st.lists(st.text(_RICH, max_size=12), max_size=5)
)
def test_random_rich_text(form, texts):
    assert_normalized(form, texts)


@pytest.mark.parametrize("form", FORMS)
def test_as_many_marks_as_there_may_be(form):
    rng = np.random.default_rng(1)
    marks = "".join(rng.choice(MARKS, 20_000))
    assert_normalized(form, [f"e{marks}", marks, "\u1161\u1162" * 5000])


@pytest.mark.parametrize("form", FORMS)
def test_a_normal_text_is_left_alone(form):
    once = [unicodedata.normalize(form, text) for text in TEXTS]
    assert normalize(form, once) == once


@pytest.mark.parametrize("form", text_options.UNICODE_FORMS)
@pytest.mark.parametrize("texts", [[], [""], ["", "e\u0301"], ["plain"]])
def test_few_or_no_texts(form, texts):
    whole = [
        text if form == "none" else unicodedata.normalize(form, text)
        for text in texts
    ]
    assert normalize(form, texts) == whole
    eager = unicode_forms.normalizer(form)(tokenizer.tensor(texts))
    assert [text.decode() for text in eager.numpy()] == whole


def test_inside_tf_data():
    dataset = tf.data.Dataset.from_tensor_slices(TEXTS).batch(4)
    normalizer = unicode_forms.normalizer("NFKC")
    found = dataset.map(normalizer, num_parallel_calls=2).unbatch()
    assert [text.decode() for text in found.as_numpy_iterator()] == [
        unicodedata.normalize("NFKC", text) for text in TEXTS
    ]


_LOAD = """
import sys, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
texts = open(sys.argv[2], "rb").read().split(b"\\n")
found = loaded.serve(tf.constant(texts)).numpy()
assert not any(name.split(".")[0] == "tfxml" for name in sys.modules)
assert loaded.serve(tf.constant([], tf.string)).shape == [0]
sys.stdout.buffer.write(b"\\n".join(found))
"""


@pytest.mark.slow
def test_served_without_this_package(tmp_path):
    module = tf.Module()
    module.inner = unicode_forms.normalizer("NFC")
    module.serve = tf.function(
        module.inner, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, tmp_path / "saved")
    texts = [text for text in TEXTS if "\n" not in text]
    (tmp_path / "texts").write_text("\n".join(texts), "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, tmp_path / "saved", tmp_path / "texts"],
        env={**os.environ, "PYTHONPATH": ""},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().split("\n") == [
        unicodedata.normalize("NFC", text) for text in texts
    ]


@pytest.mark.parametrize("form", text_options.UNICODE_FORMS)
def test_bytes_that_are_not_utf8_part_words(form):
    texts = tf.constant(
        [b"one\xfftwo \xc3 e\xcc\x81\xed\xa0\x80 \xf0\x9f", b"a"]
    )
    terms, _ = tokenizer.terms(unicode_forms.normalizer(form)(texts), 1)
    assert set(terms.numpy()) >= {b"one", b"two"}


def test_a_form_that_is_none():
    with pytest.raises(ValueError, match="`unicode_normalization` must be one"):
        unicode_forms.normalizer("NFD")
