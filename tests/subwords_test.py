"""Pieces of words against byte-pair encoding and a reading in plain Python."""

import collections
import itertools
import json

import numpy as np
import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml import prepare
from tfxml.data import data_errors
from tfxml.data.text import subwords, text_features, text_fitting
from tfxml.export.saved_model import serving_model
from tfxml.run import restore, text_inputs, train_and_evaluate

WORDS = ["low", "lower", "newest", "widest", "straße", "漢字かな", "öl", "zz"]
COUNTS = np.array([5, 2, 6, 3, 2, 4, 1, 1])
TEXTS = ["The lower, the NEWEST widest low", "Straße 漢字かな öl low low", ""]


def _learnt(words, counts, num_pieces):
    """Returns the pieces by counting all pairs anew for each merge."""
    split = [[w[0], *("##" + c for c in w[1:])] for w in words]
    letters = collections.Counter()
    for symbols, count in zip(split, counts, strict=True):
        for symbol in symbols:
            letters[symbol] += count
    pieces = sorted(letters, key=lambda s: (-letters[s], s))[:num_pieces]
    while len(set(pieces)) < num_pieces:
        pairs = collections.Counter()
        for symbols, count in zip(split, counts, strict=True):
            for pair in itertools.pairwise(symbols):
                if set(pair) <= set(pieces):
                    pairs[pair] += count
        if not pairs or max(pairs.values()) < 2:
            break
        first, second = min(pairs, key=lambda p: (-pairs[p], p))
        merged = first + second.removeprefix("##")
        pieces.append(merged)
        for symbols in split:
            for place in range(len(symbols) - 1):
                if symbols[place : place + 2] == [first, second]:
                    symbols[place : place + 2] = [merged]
    return sorted(set(pieces))


def _read(word, pieces):
    """Returns a word's pieces, the longest first."""
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            part = "##" * (start > 0) + word[start:end]
            if part in pieces:
                found.append(pieces.index(part))
                start = end
                break
        else:
            start += 1
    return found


@pytest.mark.parametrize("num_pieces", [1, 9, 30, 41, 200])
def test_pieces_are_byte_pairs(num_pieces):
    pieces = subwords.learn(WORDS, COUNTS, num_pieces)
    assert pieces == _learnt(WORDS, COUNTS, num_pieces)
    assert len(pieces) <= num_pieces
    order = np.random.default_rng(0).permutation(len(WORDS))
    shuffled = [WORDS[i] for i in order]
    assert subwords.learn(shuffled, COUNTS[order], num_pieces) == pieces


def test_pieces_of_random_words_are_byte_pairs():
    rng = np.random.default_rng(0)
    words = {
        "".join(rng.choice(list("abc"), rng.integers(1, 9))) for _ in "x" * 80
    }
    words = sorted(words)
    counts = rng.integers(1, 9, len(words))
    for number in (10, 40):
        pieces = subwords.learn(words, counts, number)
        assert pieces == _learnt(words, counts, number)


@pytest.mark.parametrize("num_pieces", [7, 30, 60])
def test_words_are_read_longest_first(num_pieces):
    pieces = subwords.learn(WORDS, COUNTS, num_pieces)
    words = [*WORDS, "lowest", "wider", "unsaid", "漢", "x", "字字", "", "low"]
    found = tf.function(subwords.Subwords(pieces))(tf.constant(words))
    assert found.to_list() == [_read(word, pieces) for word in words]
    assert subwords.Subwords(pieces)(tf.zeros([0], tf.string)).to_list() == []


def test_tokens_are_pieces_and_are_kept(tmp_path):
    features = text_fitting.fit([TEXTS], num_subwords=40)
    pieces = features._subwords.pieces.tolist()
    words = text_fitting.fit([TEXTS]).terms.tolist()
    counts = collections.Counter(
        w for w in " ".join(TEXTS).lower().replace(",", "").split()
    )
    assert pieces == _learnt(words, [counts[word] for word in words], 40)
    found = features.tokens(tf.constant([*TEXTS, "slow newer"]), 9)
    wanted = [
        [
            1 + i
            for w in text.lower().replace(",", "").split()
            for i in _read(w, pieces)
        ][:9]
        for text in [*TEXTS, "slow newer"]
    ]
    assert found.dtype == tf.int32 and found.to_list() == wanted
    assert features.num_tokens == len(pieces) + 1
    features.save(tmp_path / "kept")
    again = text_features.load(tmp_path / "kept")
    assert again.tokens(tf.constant(TEXTS), 9).to_list() == wanted[:3]
    (tmp_path / "kept" / "subwords.txt").write_text("low\n")
    with pytest.raises(data_errors.DataError, match=r"subwords\.txt"):
        text_features.load(tmp_path / "kept")


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="`token_units` must be words with h"):
        config_lib.Config(token_units="subwords", hash_buckets=9)
    with pytest.raises(ValueError, match="`word_vectors` must be empty with "):
        config_lib.Config(token_units="subwords", word_vectors="a.vec")


@pytest.fixture(scope="module")
def stems(tmp_path_factory):
    """Texts of a stem and a random ending; the label is the first stem.

    A word of the test split is in no text of the training split.
    """
    folder = tmp_path_factory.mktemp("stems")
    rng = np.random.default_rng(0)
    for split, number, letters in (
        ("train", 400, "abcdefgh"),
        ("test", 100, "hgfedcba"),
    ):
        with open(folder / f"{split}.jsonl", "w") as lines:
            for _ in range(number):
                order = rng.permutation(["kipolu", "zuvexi"])
                ends = ["".join(rng.choice(list(letters), 7)) for _ in "12"]
                text = " ".join(map("".join, zip(order, ends, strict=True)))
                row = {"text": text, "labels": [str(order[0])]}
                lines.write(json.dumps(row) + "\n")
    return folder


def _config(**words):
    return config_lib.Config(
        min_df=1,
        num_epochs=8,
        batch_size=32,
        learning_rate=0.01,
        encoder="conv",
        word_dim=16,
        conv_filters=16,
        conv_dropout=0.0,
        metric_ks=(1,),
        max_tokens=24,
        num_subwords=60,
        **words,
    )


@pytest.mark.slow
def test_unseen_words_are_read_by_their_pieces(stems, tmp_path):
    found = {
        units: train_and_evaluate.train(
            _config(token_units=units), str(tmp_path / units), str(stems)
        )["P@1"]
        for units in ("words", "subwords")
    }
    assert found["subwords"] >= 95 and found["words"] < 65  # chance is 50
    run = restore.restore(
        str(tmp_path / "subwords"), tf.distribute.get_strategy()
    )
    model = tf.saved_model.load(str(serving_model.write(run, tmp_path / "out")))
    texts = tf.constant(["zuvexiabc kipolu", "kipoluqq zuvexi", "", "é"])
    answers = model.signatures["serving_default"](text=texts, k=tf.constant(2))
    scores, label_ids = run.model.top_k(
        text_inputs.TextInputs(run.config, run.text_features)(texts), 2
    )
    np.testing.assert_allclose(answers["scores"], scores, atol=1e-6)
    np.testing.assert_array_equal(answers["label_ids"], label_ids)


@pytest.mark.slow
def test_prepared_pieces_train_to_the_same_weights(stems, tmp_path):
    config = _config(token_units="subwords").replace(num_epochs=1)
    prepare.prepare(config, str(stems), str(tmp_path / "records"))
    weights = []
    for name, folder in (("memory", stems), ("disk", tmp_path / "records")):
        train_and_evaluate.train(config, str(tmp_path / name), str(folder))
        weights.append(runs.tensors(tmp_path / name))
    runs.assert_near(*weights)
    with pytest.raises(ValueError, match="must have been prepared with"):
        train_and_evaluate.train(
            config.replace(num_subwords=50),
            str(tmp_path / "other"),
            str(tmp_path / "records"),
        )
