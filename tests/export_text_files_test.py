"""The tokenizer outside of TensorFlow: the same rows in Python and in Node."""

import collections
import json
import math
import pathlib
import shutil
import subprocess
import unicodedata

import exporting
import numpy as np
import pytest
import tensorflow as tf
from sklearn.feature_extraction import text as sklearn_text

from tfxml.data import own_labels
from tfxml.data.text import text_fitting, text_options, tokenizer, unicode_forms
from tfxml.export.js import js_model
from tfxml.export.shared import text_files

PAGE = pathlib.Path(js_model.__file__).parent / "page"
UNSURE = "\u1734:\u0295"
SETTINGS = [
    {},
    {"ngrams": 1, "sublinear_tf": False},
    {"use_idf": False},
    {"hash_buckets": 97},
    {"hash_buckets": 2**31 - 1, "use_idf": False, "ngrams": 3},
    {"unicode_normalization": "NFC"},
    {"unicode_normalization": "NFKC", "hash_buckets": 997},
]


def _written(folder, words):
    settings = {"ngrams": 2, "sublinear_tf": True, "use_idf": True, **words}
    features = text_fitting.fit([exporting.TOPICS], **settings)
    text_files.write(features, folder)
    idf = folder / "idf.f32"
    vocabulary = folder / "vocabulary.txt"
    return (
        json.loads((folder / "text.json").read_text()),
        vocabulary.read_text().split("\n")[:-1]
        if vocabulary.is_file()
        else None,
        np.fromfile(idf, "<f4") if idf.is_file() else None,
        json.loads((folder / "test_vectors.json").read_text()),
    )


@pytest.mark.parametrize("words", SETTINGS)
def test_vectors_follow_the_definition(words, tmp_path):
    """The six steps of TOKENIZER.md, one at a time, by scikit-learn."""
    settings, vocabulary, idf, vectors = _written(tmp_path / "text", words)
    analyze = sklearn_text.TfidfVectorizer(
        ngram_range=(1, settings["ngrams"])
    ).build_analyzer()
    form = settings["unicode_normalization"]
    for vector in vectors:
        text = vector["text"]
        if form != "none":
            text = unicodedata.normalize(form, text)
        terms = analyze(text)
        assert vector["terms"] == sorted(terms)
        if vocabulary is None:
            buckets = settings["hash_buckets"]
            ids = [_bucket(term, buckets) for term in terms]
        else:
            ids = [vocabulary.index(t) for t in terms if t in vocabulary]
        counts = collections.Counter(ids)
        values = []
        for feature in sorted(counts):
            count = counts[feature]
            value = 1 + math.log(count) if settings["sublinear_tf"] else count
            values.append(value * (1.0 if idf is None else float(idf[feature])))
        norm = math.sqrt(sum(value**2 for value in values))
        assert vector["feature_ids"] == sorted(counts)
        np.testing.assert_allclose(
            vector["feature_values"], [v / norm for v in values], rtol=1e-5
        )
    assert max(len(vector["feature_ids"]) for vector in vectors) >= 5


def _bucket(term, buckets):
    return int(tf.strings.to_hash_bucket_fast(term, buckets))


_ROWS = """
const { TextFeatures, terms } = require("./text.js");
const given = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const idf = given.idf && new Float32Array(given.idf);
const features = new TextFeatures(given.settings, given.vocabulary, idf);
const { unicode_normalization: form, ngrams } = given.settings;
console.log(JSON.stringify(given.texts.map((text) => ({
  ...features.row(text), terms: terms(text, form, ngrams).sort(),
}))));
"""
_HASHES = """
const { fingerprint64 } = require("./farmhash.js");
const words = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const encoder = new TextEncoder();
console.log(JSON.stringify(words.map(
  (word) => String(fingerprint64(encoder.encode(word))))));
"""
_TERMS = """
const { terms } = require("./text.js");
const texts = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const form = process.argv[1];
console.log(JSON.stringify(texts.map((text) => terms(text, form, 1))));
"""
_OWN_LABELS = """
const { OwnLabels } = require("./text.js");
const given = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const ownLabels = new OwnLabels(given.names, given.most);
console.log(JSON.stringify(given.texts.map((text) => ownLabels.of(text))));
"""


@pytest.mark.parametrize("words", SETTINGS)
def test_javascript_rows_are_the_vectors(words, tmp_path):
    settings, vocabulary, idf, vectors = _written(tmp_path / "text", words)
    given = {
        "settings": settings,
        "vocabulary": vocabulary,
        "idf": None if idf is None else idf.tolist(),
        "texts": [vector["text"] for vector in vectors],
    }
    for vector, row in zip(vectors, _node(_ROWS, given), strict=True):
        # By UTF-16 unit in JavaScript, by code point in Python.
        assert sorted(row["terms"]) == vector["terms"]
        assert row["ids"] == vector["feature_ids"]
        np.testing.assert_allclose(
            row["values"], vector["feature_values"], rtol=1e-5
        )


def test_javascript_hashes_are_those_of_tensorflow():
    """Every length around the branches of the hash, in ASCII and beyond."""
    rng = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789_")
    words = ["".join(rng.choice(letters, n)) for n in range(300) for _ in "ab"]
    words += ["ö" * n for n in range(1, 40)] + [
        "漢字" * n for n in range(1, 30)
    ]
    buckets = 2**63 - 1
    expected = tf.strings.to_hash_bucket_fast(words, buckets).numpy().tolist()
    found = [int(one) % buckets for one in _node(_HASHES, words)]
    assert found == expected


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(name, marks=() if name == "NFKC" else pytest.mark.slow)
        for name in text_options.UNICODE_FORMS
    ],
)
def test_javascript_words_of_every_character(form):
    """On all that Unicode 3.2 knew; around a sigma too.

    But for the neighbours of a sigma of which Unicode has changed its mind,
    and what becomes one of them.
    """
    known = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.ucd_3_2_0.category(chr(code)) not in ("Cn", "Cs", "Co")
    ]
    texts = [f"x{c}y {c}{c} {c}\u0300Z" for c in known]
    texts += [
        f"BΑ{c}Σ AΑΣ{c}Α {c}ΣΣ"
        for c in known
        if not set(UNSURE) & set(unicodedata.normalize("NFKC", c))
    ]
    assert len(texts) > 150_000
    normalize = unicode_forms.normalizer(form)
    distinct, places = tokenizer.terms(normalize(tokenizer.tensor(texts)), 1)
    names = [term.decode() for term in distinct.numpy()]
    expected = [[names[i] for i in row] for row in places.to_list()]
    found = _node(_TERMS, texts, form)
    pairs = zip(texts, found, expected, strict=True)
    assert [one for one in pairs if one[1] != one[2]] == []


def test_javascript_finds_the_labels_that_texts_are_named_after():
    rng = np.random.default_rng(0)
    spaces = [" ", "\n", " - ", "(", "[^`{~", "\x00"]

    def some(most):
        length = rng.integers(1, most)
        pieces = zip(
            rng.choice(["xx", "YY", "z", "\u00e9", "a\u00a0b", "_z"], length),
            rng.choice(spaces, length),
            strict=True,
        )
        return "".join(word + space for word, space in pieces)

    names = [*(some(5) for _ in range(60)), "", " ".join(["xx"] * 33)]
    texts = [*(some(9) for _ in range(300)), "", "  xx yy"]
    found_by = own_labels.OwnLabels(names)
    wanted = found_by.of(texts).tolist()
    given = {"names": names, "texts": texts, "most": own_labels.MOST_WORDS}
    assert len(set(wanted)) > 10
    assert _node(_OWN_LABELS, given) == wanted


def _node(program, given, *words):
    if shutil.which("node") is None:
        pytest.skip("needs node")
    done = subprocess.run(
        ["node", "-e", program, *words],
        cwd=PAGE,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)
