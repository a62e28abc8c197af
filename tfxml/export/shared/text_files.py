"""Text features for use outside TensorFlow: plain files and test vectors.

<folder>/TOKENIZER.md        the definition
<folder>/text.json           settings
<folder>/vocabulary.txt      one term per line; its line number is its feature
<folder>/idf.f32             little-endian float32, one per feature
<folder>/test_vectors.json   texts with their terms and rows
"""

from __future__ import annotations

import json
import pathlib

import numpy as np

from tfxml.data.text import text_features as text_features_lib
from tfxml.data.text import tokenizer

# Case, final sigma, dotted capital I, combining marks, scripts without
# spaces, digits of other scripts, zero bytes, characters beyond the BMP.
TEXTS = (
    "The cat, the CAT sat on a mat; the mat sat.",
    "Die Straße über Öl — STRASSE GROẞ, Ärger",
    "ΟΔΥΣΣΕΥΣ ΑΣ.Α ΑΣ:Σ Σ ὈΔΥΣΣΕΎΣ",
    "İstanbul ISPARTA ılık Iğdır Ísland Ìle Ĩn",
    "漢字かな交じり文、カタカナ 数 数数 한국어",
    "cafe\u0301 café e\u0301e\u0301 हिन्दी",
    "snake_case _ __ _x x_ 3_4",
    "m² ½ ½½ x² ٣٤ Ⅷ Ⅷx 12 3.14 5",
    "smile 😀😀 smile😀word 👩\u200d👩\u200d👧",
    "",
    "   ",
    "!?. ,;",
    "one\ntwo\tthree\u00a0four\u2028five\u0085six\vseven\x1ceight\r\nnine",
    "zero\x00byte \x00 A\x00B",
    "a bb c dd e ff",
    "K ſharp ǅungla ﬁn ŉ Ω 𝐀𝐁 𐐀𐐁 𐐨",
    "the the the THE The cat cat",
    # Texts that Unicode's normal forms unify.
    "A\u030angstro\u0308m \u212bngström Ångström a\u0327\u0301b a\u0301\u0327b",
    "ｆｉｓｈ ﬁsh x⁵ x5 ㍻ ①② Ⅷ ™ ﷺ ºC ﬃ\u0301x",
    "\u1112\u1161\u11ab\u1100\u1173\u11af 한글 ｶﾞｷﾞ ガギ \u0929x \u0928\u093cx",
)

_GUIDE = """# From text to features

1. **Normalisation**: convert the text to the Unicode normal form given by
   `unicode_normalization`, NFC or NFKC (Python's `unicodedata.normalize`,
   JavaScript's `normalize`, ICU's `Normalizer2`). With `none`, leave it as is.
2. **Lower case**, by Unicode's full, locale-independent mapping: `İ` becomes
   `i` and U+0307; a capital sigma at the end of a word becomes `ς`. (Python's
   `str.lower`, JavaScript's `toLowerCase`, ICU with the root locale.)
3. **Words** are runs of two or more characters of the classes letter
   (`\\p{L}`), number (`\\p{N}`) or `_`. A combining mark (`\\p{M}`) ends a
   word. Characters are code points, not UTF-16 units. Without
   `unicode_normalization` `é` and `e` with U+0301 differ.
4. **Terms** are the words and, with `ngrams` above 1, runs of up to `ngrams`
   consecutive words, joined by single spaces.
5. **Features**: a term's feature is its line number in `vocabulary.txt`, from
   0; other terms are dropped. With `hash_buckets` there is no vocabulary: the
   feature is FarmHash's `Fingerprint64` of the term's UTF-8, unsigned, modulo
   `hash_buckets`.
6. **Values**: the count c of a feature in the text, or 1 + ln(c) with
   `sublinear_tf`; multiplied by its entry in `idf.f32`, if that file exists;
   divided by the L2 norm of the row.

A text without a known term is an empty row: one entry of value 0.

`test_vectors.json` holds texts with their terms, in no particular order, and
their rows, ascending; values must agree to 1e-5. The code that computed the
training features wrote it.

Libraries may classify letters added after Unicode 15 differently. They may also
lower-case a capital sigma next to `:`, U+0295 or U+1734 differently, as Unicode
versions disagree on whether those are part of a word.
"""


def write(
    features: text_features_lib.TextFeatures, folder: str | pathlib.Path
) -> None:
    """Writes the files into a new folder."""
    folder = pathlib.Path(folder)
    folder.mkdir()
    (folder / "TOKENIZER.md").write_text(_GUIDE, encoding="utf-8")
    (folder / "text.json").write_text(json.dumps(settings(features), indent=1))
    if features.terms is not None:
        lines = "".join(f"{term}\n" for term in features.terms)
        (folder / "vocabulary.txt").write_bytes(lines.encode())
    if features.idf is not None:
        (folder / "idf.f32").write_bytes(features.idf.astype("<f4").tobytes())
    (folder / "test_vectors.json").write_text(
        json.dumps(test_vectors(features, _texts(features)))
    )


def settings(features: text_features_lib.TextFeatures) -> dict:
    """Returns the settings of the features, without vocabulary and idf."""
    return {
        "unicode_normalization": features.unicode_normalization,
        "ngrams": features.ngrams,
        "sublinear_tf": features.sublinear_tf,
        "hash_buckets": features.hash_buckets,
        "num_features": features.num_features,
    }


def test_vectors(
    features: text_features_lib.TextFeatures, texts: list[str]
) -> list[dict]:
    """Returns each text's terms, feature ids and values."""
    strings = tokenizer.tensor(texts)
    distinct, occurrences = features.find_terms(strings)
    ids, values = features(strings)
    names = np.array([term.decode() for term in distinct.numpy()], object)
    return [
        {
            "text": text,
            "terms": sorted(names[positions.numpy()]),
            "feature_ids": row_ids.numpy().tolist(),
            "feature_values": row_values.numpy().tolist(),
        }
        for text, positions, row_ids, row_values in zip(
            texts, occurrences, ids, values, strict=True
        )
    ]


def _texts(features: text_features_lib.TextFeatures) -> list[str]:
    """Returns the special cases, and texts of terms from the vocabulary."""
    from_vocabulary = []
    if features.terms is not None:
        step = max(1, len(features.terms) // 100)
        terms = list(features.terms[::step])
        from_vocabulary = [
            " ".join(terms[start : start + 10])
            for start in range(0, len(terms), 10)
        ]
        from_vocabulary.append(" ".join(terms[:5] * 3 + terms[5:8]))
    return [*TEXTS, *from_vocabulary]
