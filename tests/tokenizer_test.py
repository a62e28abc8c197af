"""The terms against scikit-learn's own analyzer, token for token."""

import os
import subprocess
import sys
import unicodedata

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from sklearn.feature_extraction import text as sklearn_text

from tfxml.data.text import tokenizer

TEXTS = [
    "The cat, the CAT sat on a mat; the mat sat.",
    "Die Straße über Öl — STRASSE GROẞ, Ärger",
    "ΟΔΥΣΣΕΥΣ ΑΣ.Α ΑΣ:Σ Σ ΑΣ\u00ad ὈΔΥΣΣΕΎΣ",  # sigma is final or not
    "İstanbul ISPARTA ılık Iğdır Ísland Ìle Ĩn",
    "漢字かな交じり文、カタカナ 数 数数 한국어",
    "cafe\u0301 café e\u0301e\u0301 हिन्दी",  # combining marks part a word
    "snake_case _ __ _x x_ 3_4",
    "m² ½ ½½ x² ٣٤ Ⅷ Ⅷx 12 3.14 5",
    "smile 😀😀 smile😀word 👩‍👩‍👧",
    "",
    "   ",
    "!?. ,;",
    "one\ntwo\tthree\u00a0four\u2028five\u0085six\vseven\x1ceight\r\nnine",
    "zero\0byte\0\0s A\0B \0",
    "a bb c dd e ff",  # the n-grams reach over short words
    "K ſharp ǅungla ﬁn ŉ Ω",
]

# Characters of which Python 3.10 to 3.13 and TensorFlow know different
# Unicode versions: letters added since Unicode 14 ...
NEWER = [
    (0x2C2F, 0x2C5F),
    (0xA7C0, 0xA7C1),
    (0xA7D0, 0xA7D9),
    (0x10570, 0x105BC),
    (0x2EBF0, 0x2EE5D),
]
# ... and those that a sigma looks past or not, depending on the version.
AROUND_SIGMA = "\u1734:"

# Assigned since Unicode 3.2, so that all versions agree on them.
CHARACTERS = [
    chr(code)
    for code in range(sys.maxunicode + 1)
    if unicodedata.ucd_3_2_0.category(chr(code)) not in ("Cn", "Cs", "Co")
    and chr(code) not in AROUND_SIGMA
]
TRICKY = " \0\n\t_.,'Σσςİı0٣²½ßẞſKǅŉﬁ数\u0301\u0307\u00ad\u200d\u00a0😀"


def analyze(texts, ngrams):
    analyzer = sklearn_text.TfidfVectorizer(
        ngram_range=(1, ngrams)
    ).build_analyzer()
    return [analyzer(text) for text in texts]


def tokenize(texts, ngrams):
    terms, occurrences = tokenizer.terms(tokenizer.tensor(texts), ngrams)
    names = [term.decode() for term in terms.numpy()]
    assert len(set(names)) == len(names)
    assert occurrences.row_splits.dtype == tf.int64
    return [[names[i] for i in row] for row in occurrences.numpy()]


@pytest.mark.parametrize("ngrams", [1, 2, 3, 5])
def test_terms_are_those_of_scikit_learn(ngrams):
    assert tokenize(TEXTS, ngrams) == analyze(TEXTS, ngrams)


@pytest.mark.parametrize("ngrams", [1, 2])
@pytest.mark.parametrize("texts", [[], [""], ["", "!", "a"], ["one"]])
def test_few_or_no_terms(texts, ngrams):
    assert tokenize(texts, ngrams) == analyze(texts, ngrams)


@hypothesis.settings(max_examples=200, deadline=None)
@hypothesis.given(
    st.lists(
        st.text(st.sampled_from(TRICKY) | st.sampled_from("abAB ")), max_size=4
    ),
    st.integers(1, 3),
)
def test_random_tricky_text(texts, ngrams):
    assert tokenize(texts, ngrams) == analyze(texts, ngrams)


@hypothesis.settings(max_examples=100, deadline=None)
@hypothesis.given(
    st.lists(
        st.text(st.sampled_from(CHARACTERS) | st.sampled_from(TRICKY)),
        max_size=4,
    )
)
def test_random_unicode_text(texts):
    assert tokenize(texts, 1) == analyze(texts, 1)


@pytest.mark.slow
def test_every_character_on_which_the_unicode_versions_agree():
    newer = {code for first, last in NEWER for code in range(first, last + 1)}
    texts = [
        f"x{chr(code)}y {chr(code)}"
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")
        and code not in newer
    ]
    assert len(texts) > 100_000
    ours, theirs = tokenize(texts, 1), analyze(texts, 1)
    assert [
        x for x in zip(texts, ours, theirs, strict=True) if x[1] != x[2]
    ] == []


def test_every_character_around_a_sigma():
    # Nothing but the sigma's form is at stake: it follows its neighbours.
    texts = [
        form.format(c)
        for c in CHARACTERS
        for form in ("BΑ{}Σ", "AΑΣ{}Α", "{}ΣΣ")
    ]
    ours, theirs = tokenize(texts, 1), analyze(texts, 1)
    assert [
        x for x in zip(texts, ours, theirs, strict=True) if x[1] != x[2]
    ] == []


_TOKENIZE = """
import sys, tensorflow as tf
from tfxml.data.text import tokenizer
source, target = sys.argv[1:]
texts = open(source, encoding="utf-8").read().split("\\n")
terms, occurrences = tokenizer.terms(tf.constant(texts), 1)
rows = [b" ".join(terms.numpy()[row]) for row in occurrences.numpy()]
lower = tf.strings.lower("I", encoding="utf-8").numpy()
open(target, "wb").write(b"\\n".join([lower, *rows]))
"""


@pytest.mark.parametrize(
    ("locale", "lower_i"),
    [
        pytest.param("tr_TR.UTF-8", "ı", marks=pytest.mark.slow),
        pytest.param("lt_LT.UTF-8", "i", marks=pytest.mark.slow),
    ],
)
def test_the_locale_of_the_process_changes_nothing(tmp_path, locale, lower_i):
    cased = [c for c in CHARACTERS if c != c.lower()]
    texts = [text for text in TEXTS if "\n" not in text]
    texts += [f"{c}y x{c} I{c}\u0300y J{c}\u0307y" for c in cased]
    source, target = tmp_path / "texts", tmp_path / "terms"
    source.write_text("\n".join(texts), encoding="utf-8")
    # ICU asks for the locale once a process, so it needs one of its own.
    subprocess.run(
        [sys.executable, "-c", _TOKENIZE, source, target],
        env={**os.environ, "LC_ALL": locale},
        check=True,
    )
    lower, *lines = target.read_text("utf-8").split("\n")
    assert lower == lower_i  # so the Turkish locale was in force
    assert lines == [" ".join(terms) for terms in analyze(texts, 1)]


def test_a_lone_surrogate_parts_words():
    assert tokenize(["one\ud800two"], 1) == [["one", "two"]]


def test_bytes_that_are_not_utf8_part_words():
    terms, _ = tokenizer.terms(tf.constant([b"one\xfftwo \xc3 \xf0\x9f"]), 1)
    assert set(terms.numpy()) == {b"one", b"two"}


def test_a_text_in_place_of_a_run_of_texts():
    with pytest.raises(ValueError, match="must be runs of texts.*'one two'"):
        tokenizer.tensor("one two")


@pytest.mark.parametrize(
    "rows",
    [[], [[]], [[5]], [[2, 0, 2, 2], [], [7, 1]], [[], [], [3, 3]]],
)
def test_count_against_unique(rows):
    ragged = tf.RaggedTensor.from_row_lengths(
        tf.constant(sum(rows, []), tf.int64),
        tf.constant([len(row) for row in rows], tf.int64, shape=[len(rows)]),
    )
    ids, counts = tokenizer.count(ragged)
    assert ids.row_splits.dtype == ids.dtype == counts.dtype == tf.int64
    expected = [np.unique(row, return_counts=True) for row in rows]
    assert ids.to_list() == [list(values) for values, _ in expected]
    assert counts.numpy().tolist() == [c for _, n in expected for c in n]
