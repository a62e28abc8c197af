"""TF-IDF rows of a few texts, without TensorFlow.

What `text_features` computes, for texts whose characters Python, RE2 and ICU
see alike in every version: Latin, Greek and Cyrillic letters, common signs. For
one text it takes a thousandth of the time that TensorFlow takes to be imported.
"""

from __future__ import annotations

import collections
import os
import re
import unicodedata
from collections.abc import Sequence
from typing import Literal, cast

import numpy as np

from tfxml.data.text import text_features_files

# Below are Latin, Greek and Cyrillic; then punctuation and currencies.
_PLAIN = re.compile("[\x00-\u052f\u2000-\u20bf]*")
_WORD = re.compile(r"\w\w+")


class PlainRows:
    """Turns plain texts into rows.

    Args:
        folder: of fitted text features.

    Attributes:
        has_terms: whether there is a vocabulary; hashed terms have none, and
            no rows here.

    Raises:
        DataError: if a file is missing or was changed.
    """

    def __init__(self, folder: str | os.PathLike):
        self._settings, terms, self._idf, _ = text_features_files.read(folder)
        self.has_terms = terms is not None
        self._features = {
            term: feature for feature, term in enumerate(terms or ())
        }

    def can_read(self, texts: Sequence[str]) -> bool:
        """Tells whether `rows` gives what TensorFlow would."""
        return self.has_terms and all(
            _PLAIN.fullmatch(self._normalized(text)) for text in texts
        )

    def rows(
        self, texts: Sequence[str]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns feature ids (ascending), values and splits of the rows."""
        ids: list[int] = []
        counts: list[int] = []
        splits = [0]
        for text in texts:
            found = collections.Counter(
                self._features[term]
                for term in self._terms(text)
                if term in self._features
            )
            ascending = sorted(found)
            ids += ascending
            counts += [found[feature] for feature in ascending]
            splits.append(len(ids))
        all_ids = np.array(ids, np.int32)
        values = self._weigh(all_ids, np.array(counts, np.float32))
        for first, last in zip(splits, splits[1:], strict=False):
            row = values[first:last]
            row /= np.sqrt(np.sum(np.square(row)))
        return all_ids, values, np.array(splits, np.int64)

    def _terms(self, text: str) -> list[str]:
        text = self._normalized(text).lower()
        words = _WORD.findall(text)
        return [
            " ".join(words[first : first + size])
            for size in range(1, self._settings["ngrams"] + 1)
            for first in range(len(words) - size + 1)
        ]

    def _normalized(self, text: str) -> str:
        form = self._settings["unicode_normalization"]
        if form == "none":
            return text
        known = cast(Literal["NFC", "NFKC"], form)
        return unicodedata.normalize(known, text)

    def _weigh(self, ids: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Returns the values of features before rows get their length."""
        values = counts
        if self._settings["sublinear_tf"]:
            values = np.float32(1) + np.log(counts)
        return values if self._idf is None else values * self._idf[ids]
