"""Terms counted in pieces, on disk, are those counted at once."""

import collections

import numpy as np
import pytest

from tfxml.data.text import vocabulary


def documents(seed):
    rng = np.random.default_rng(seed)
    words = ["ä", "zebra", "Zug", "été", "日本", *(f"w{i}" for i in range(300))]
    ranks = (len(words) ** rng.random((40, 25))).astype(int) - 1
    return [" ".join(words[i] for i in row) for row in ranks]


def counts_of(texts):
    """Returns document and total counts, from the definition."""
    in_documents, in_total = collections.Counter(), collections.Counter()
    for text in texts:
        found = [w.lower() for w in text.split() if len(w) > 1]
        in_total.update(found)
        in_documents.update(set(found))
    return in_documents, in_total


@pytest.mark.parametrize("most_terms", [1, 20, 100, 10**6])
@pytest.mark.parametrize("min_df", [1, 3, 0.1])
@pytest.mark.parametrize("max_features", [None, 17])
def test_selection_is_exact(most_terms, min_df, max_features):
    texts = documents(0)
    batches = [texts[i : i + 7] for i in range(0, len(texts), 7)]
    counts = vocabulary.count(batches, 1, most_terms)
    names, in_documents = counts.select(min_df, max_features)
    expected_documents, expected_total = counts_of(texts)
    least = min_df if min_df >= 1 else min_df * len(texts)
    kept = sorted(t for t, n in expected_documents.items() if n >= least)
    if max_features:
        kept.sort(key=lambda term: -expected_total[term])
        kept = sorted(kept[:max_features])
    assert names == kept
    assert in_documents.tolist() == [expected_documents[t] for t in kept]


def test_memory_holds_no_more_terms_than_it_may():
    counts = vocabulary.TermCounts(most_terms=50)
    for first in range(0, 1000, 10):
        terms = [b"t%d" % i for i in range(first, first + 10)]
        counts.add(1, terms, np.ones(10, int), np.ones(10, int))
        assert len(counts._positions) <= 50
    names, _ = counts.select(1, None)
    assert names == sorted(f"t{i}" for i in range(1000))
