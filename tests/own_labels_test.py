"""Labels that texts are named after: found, not learnt from, not answered."""

import json
import re

import numpy as np
import pytest
import runs
import tensorflow as tf

import tfxml
from tfxml import config as config_lib
from tfxml import evaluate, prepare
from tfxml.data import instances, own_labels
from tfxml.data.feeding import in_memory, joined, subset
from tfxml.data.text import own_label_ops
from tfxml.evaluation import exclusions
from tfxml.export.saved_model import serving_model
from tfxml.export.shared import checked_run
from tfxml.recipe import chooser, facts, recipe_request
from tfxml.run import (
    datasets,
    request_predictor,
    restore,
    scored_rows,
    train_and_evaluate,
)
from tfxml.training.solvers import label_pairs

NAMES = ["aa bb", "aa", "aa bb cc", "BB(2)", "twice", "Twice", " é  xx ", "C"]
NAMES += ["aa-b c-dd", "x_y", "\u00c9"]
TEXTS = {
    "aa bb": 0,
    "AA, bb ddd": 0,
    "aa bbc": 1,
    "aa\tbb\ncc": 2,
    "(aa) b bb cc dd": 2,
    "bb": 3,
    "bb - of bb": 3,
    "twice": -1,
    "é xx y": 6,
    "é": -1,
    "É": 10,
    "xx": -1,
    "": -1,
    "C": -1,
    "  aa": 1,
    "aa dd.": 8,
    "x y": -1,
    "X_Y": 9,
    "the aa": -1,
    "aa\u00a0bb": -1,
}
NUM_PAGES, OF_TOPIC, NUM_REFERRED = 480, 12, 3
CONFIG = config_lib.Config(
    head="centroid",
    centroid_features=200,
    reranker_passes=4,
    num_hard_negatives=50,
    num_candidates=50,
    reranker_features=200,
    drop_own_labels=True,
)


@pytest.mark.parametrize("way", ["of", "graph"])
def test_the_longest_name_is_found(way):
    found_by = own_labels.OwnLabels(NAMES)
    if way == "of":
        found = found_by.of(list(TEXTS))
    else:
        in_graph = tf.function(
            own_label_ops.OwnLabelOps(found_by),
            input_signature=[tf.TensorSpec([None], tf.string)],
        )
        found = in_graph(tf.constant(list(TEXTS))).numpy()
    assert found.dtype == np.int32
    assert dict(zip(TEXTS, found.tolist(), strict=True)) == TEXTS


def test_random_texts_as_by_definition():
    """Against a search of all names, in Python and in a graph."""
    rng = np.random.default_rng(0)

    def some(most):
        pieces = zip(
            rng.choice(
                ["xx", "YY", "yy", "z", "é", "_z"], rng.integers(1, most)
            ),
            rng.choice([" ", "\n", " - ", "(", "\x00", "[^`{~"], 99),
            strict=False,
        )
        return "".join(word + between for word, between in pieces)

    def words(text):
        text = "".join(c.lower() if c.isascii() else c for c in text)
        found = re.findall("[a-z0-9_é]+", text)
        return [word for word in found if len(word.encode()) > 1]

    names = [some(5) for _ in range(60)]
    texts = [some(9) for _ in range(300)]
    cut = [words(name) for name in names]
    wanted = []
    for text in texts:
        fits = [
            (len(name), label)
            for label, name in enumerate(cut)
            if name
            and cut.count(name) == 1
            and words(text)[: len(name)] == name
        ]
        wanted.append(max(fits)[1] if fits else -1)
    found_by = own_labels.OwnLabels(names)
    assert len(set(wanted)) > 10 and -1 in wanted
    assert found_by.of(texts).tolist() == wanted
    in_graph = own_label_ops.OwnLabelOps(found_by)
    assert in_graph(tf.constant(texts)).numpy().tolist() == wanted


def test_no_names_and_no_texts():
    for names in ([], [""], ["twice", "twice"]):
        found_by = own_labels.OwnLabels(names)
        assert found_by.of(["a", ""]).tolist() == [-1, -1]
        assert found_by.of([]).shape == (0,)


def _source(own):
    """Returns 6 rows of one feature; row i has the labels i % 3 and 3."""
    number = 6
    labels = np.array([[row % 3, 3] for row in range(number)], np.int32)
    return in_memory.InMemorySource(
        instances.Instances(
            np.arange(number + 1),
            np.zeros(number, np.int32),
            np.ones(number, np.float32),
            2 * np.arange(number + 1),
            labels.ravel(),
            own_labels=None if own is None else np.array(own, np.int32),
        ),
        1,
        5,
    )


@pytest.mark.parametrize("skips", [False, True])
def test_a_row_is_no_negative_of_its_own_label(skips):
    own = [4, 0, -1, 1, 4, -1]
    source = _source(own)
    candidates = np.tile(np.arange(5), (6, 1))
    splits, marked = label_pairs.pairs(source, candidates, skips)
    for label in range(5):
        of_label = marked[splits[label] : splits[label + 1]]
        positives = {r for r in range(6) if label in (r % 3, 3)}
        negatives = set(range(6)) - positives
        if skips:
            negatives -= {r for r in range(6) if own[r] == label}
        assert set(of_label[of_label >= 1 << 31] - (1 << 31)) == positives
        assert set(of_label[of_label < 1 << 31]) == negatives


def test_rows_keep_what_they_are_named_after():
    own = [4, 0, -1, 1, 4, -1]
    source = _source(own)
    part = subset.SubsetSource(source, np.array([3, 0]))
    assert part.own_labels().tolist() == [1, 4]
    both = joined.JoinedSource(part, _source(None), 0.5)
    assert both.own_labels().tolist() == [1, 4, *[-1] * 6]
    assert joined.JoinedSource(_source(None), part, 1).own_labels() is None
    assert subset.SubsetSource(_source(None), np.arange(2)).own_labels() is None
    rows = source.instances
    twice = instances.concatenate([rows, instances.select(rows, np.arange(2))])
    assert twice.own_labels.tolist() == [*own, 4, 0]
    with pytest.raises(ValueError, match="`source` must know"):
        label_pairs.pairs(_source(None), np.zeros((6, 1), np.int64), True)


def test_an_own_label_that_is_true_counts_as_missed():
    """Unlike a pair that is not scored."""
    found = exclusions.Exclusions(np.array([[1, 7]]), np.array([5, 7, -1]))
    assert found.pairs.tolist() == [[0, 5], [1, 7]] and found.most == 1
    top_ids = np.array([[5, 1, 2], [3, 7, 4], [5, 7, 0]])
    answers = found.from_predictions(top_ids, 2)
    assert answers.tolist() == [[1, 2], [3, 4], [5, 7]]
    splits, ids = found.from_labels(
        np.array([0, 2, 4, 5]), np.array([1, 5, 3, 7, 7])
    )
    assert splits.tolist() == [0, 2, 3, 4] and ids.tolist() == [1, 5, 3, 7]
    later = found.from_predictions(top_ids[1:], 2, row_start=1)
    assert later.tolist() == [[3, 4], [5, 7]]


def test_what_is_left_out_comes_last():
    scores = np.array([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]], np.float32)
    ids = np.array([[4, 5, 6], [7, 8, 9]])
    member = np.ones((2, 1, 3), bool)
    kept = exclusions.without(
        ids == np.array([[5], [-1]]), scores, ids, [member, np.ones((2, 1))], 3
    )
    assert kept[1].tolist() == [[4, 6, 5], [7, 8, 9]]
    np.testing.assert_allclose(kept[0], [[0.9, 0.7, 0], [0.6, 0.5, 0.4]])
    assert kept[2][:, 0].tolist() == [[True, True, False], [True] * 3]
    fewer = exclusions.without(ids == 5, scores, ids, [], 2)
    assert fewer[1].tolist() == [[4, 6], [7, 8]]


def _pages(number=NUM_PAGES):
    """Returns names, texts and labels of pages that refer to each other."""
    rng = np.random.default_rng(0)
    names = [f"page {i % 40} number{i}" for i in range(number)]
    texts, labels = [], []
    for page in range(number):
        topic = page // OF_TOPIC
        others = [
            i
            for i in range(topic * OF_TOPIC, (topic + 1) * OF_TOPIC)
            if i != page
        ]
        referred = rng.choice(others, NUM_REFERRED, replace=False).tolist()
        words = [f"topic{topic}"] * 2 + [f"number{i}" for i in referred[:2]]
        words += [f"number{page}"] * 9
        words += [f"word{word}" for word in rng.integers(0, 50, 5)]
        texts.append(f"{names[page]} " + " ".join(words))
        labels.append(sorted(referred))
    return names, texts, labels


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder as of the LF sets: the name is the title of a page."""
    path = tmp_path_factory.mktemp("pages")
    names, texts, labels = _pages()
    lines = [
        json.dumps(
            {
                "uid": str(page),
                "title": names[page],
                "content": texts[page][len(names[page]) + 1 :],
                "target_ind": labels[page],
            }
        )
        + "\n"
        for page in range(NUM_PAGES)
    ]
    order = np.random.default_rng(1).permutation(NUM_PAGES)
    for split, part in (("trn", order[80:]), ("tst", order[:80])):
        chosen = "".join(lines[page] for page in part)
        (path / f"{split}.json").write_text(chosen)
    (path / "lbl.json").write_text(
        "".join(json.dumps({"title": name}) + "\n" for name in names)
    )
    return path, order[:80]


@pytest.fixture(scope="module")
def run_folder(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run"
    reached = train_and_evaluate.train(CONFIG, str(path), str(data[0]))
    return path, reached


def _precisions(answers, pages, labels):
    return {
        f"P@{k}": 100
        * np.mean(
            [
                len(set(answer[:k]) & set(labels[page])) / k
                for answer, page in zip(answers, pages, strict=True)
            ]
        )
        for k in (1, 3, 5)
    }


@pytest.mark.parametrize("runtime", ["cpu", "tensorflow", "without"])
def test_answers_are_those_that_were_evaluated(runtime, data, run_folder):
    """Without a page's own label, in each way of answering."""
    _, pages = data
    _, texts, labels = _pages()
    path, reached = run_folder
    asked = [texts[page] for page in pages]
    if runtime == "without":
        lines = "".join(json.dumps({"text": text}) + "\n" for text in asked)
        output = runs.run(
            runs.command("tfxml.predict", f"--workdir={path}"), stdin=lines
        )
        found = [json.loads(line) for line in output.splitlines()]
    else:
        run = restore.restore(str(path), tf.distribute.get_strategy())
        predictor = request_predictor.RequestPredictor(run, 5, runtime)
        found = predictor.predict(asked)
    answers = [answer["label_ids"] for answer in found]
    assert all(len(answer) == 5 for answer in answers)
    assert not any(
        page in answer for page, answer in zip(pages, answers, strict=True)
    )
    for name, value in _precisions(answers, pages, labels).items():
        assert reached[name] == pytest.approx(value, abs=1e-4)
    again = evaluate.evaluate(str(path)).result()
    assert again["P@1"] == pytest.approx(reached["P@1"], abs=1e-4)


def test_own_labels_come_first_unless_they_are_dropped(data, run_folder):
    """So that the other tests would fail if nothing were left out."""
    _, pages = data
    _, texts, _ = _pages()
    run = restore.restore(str(run_folder[0]), tf.distribute.get_strategy())
    # Features do not say which page they are of.
    ids, values = run.text_features(tf.constant([texts[p] for p in pages]))
    named = {"feature_ids": ids, "feature_values": values}
    _, found = run.model.top_k(named, 1)
    assert (found[:, 0].numpy() == pages).mean() > 0.3


def test_no_more_labels_than_there_are(run_folder):
    """All labels but the page's own, where all are asked for."""
    names, texts, _ = _pages()
    run = restore.restore(str(run_folder[0]), tf.distribute.get_strategy())
    predictor = request_predictor.RequestPredictor(run, NUM_PAGES, "cpu")
    (found,) = predictor.predict([texts[3]])
    assert len(found["label_ids"]) <= NUM_PAGES - 1
    assert 3 not in found["label_ids"]


def test_a_served_model_answers_alike(data, run_folder, tmp_path):
    names, texts, _ = _pages()
    _, pages = data
    asked = [texts[page] for page in pages]
    run = checked_run.read(str(run_folder[0]))
    folder = serving_model.write(run, tmp_path, max_k=5)
    served = tf.saved_model.load(str(folder)).signatures
    predictor = request_predictor.RequestPredictor(
        restore.restore(str(run_folder[0]), tf.distribute.get_strategy()), 5
    )
    wanted = predictor.predict(asked)
    k = tf.constant(5)
    examples = [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    "text": tf.train.Feature(
                        bytes_list=tf.train.BytesList(value=[text.encode()])
                    )
                }
            )
        ).SerializeToString()
        for text in asked
    ]
    for found in (
        served["serving_default"](text=tf.constant(asked), k=k),
        served["examples"](examples=tf.constant(examples), k=k),
    ):
        np.testing.assert_array_equal(
            found["label_ids"], [one["label_ids"] for one in wanted]
        )
        np.testing.assert_allclose(
            found["scores"], [one["scores"] for one in wanted], atol=1e-5
        )
        assert found["label_names"][0, 0].numpy().decode() in names
    # What is asked for by name is ranked.
    own = served["candidates"](
        text=tf.constant(asked[:1]),
        candidates=tf.constant([int(pages[0])]),
        k=tf.constant(1),
    )
    assert own["label_ids"].numpy().tolist() == [[pages[0]]]


def test_held_out_rows_are_scored_without_them(data, run_folder):
    """By what calibration, thresholds, reports and sets are made of."""
    run = restore.restore(str(run_folder[0]), tf.distribute.get_strategy())
    source, left_out = scored_rows.of_split(run)
    rows = scored_rows.score(run, source, 5, exclusions=left_out)
    own = np.array(data[1])[:, None]
    assert rows.candidates.label_ids.shape == (80, 5)
    assert not (rows.candidates.label_ids == own).any()
    assert (np.diff(rows.candidates.scores, axis=1) <= 0).all()
    assert rows.truth.lengths().tolist() == [NUM_REFERRED] * 80


def test_the_recipe_finds_out(data, tmp_path):
    """Unless the option is given: at its default, then."""
    precisions = []
    for given in (set(), {"drop_own_labels"}):
        run = tmp_path / f"{len(given)} given"
        request = recipe_request.Request(frozenset(given), 300, 0)
        reached = train_and_evaluate.train(
            config_lib.Config(),
            str(run),
            str(data[0]),
            recipe=chooser.Chooser(request),
        )
        precisions.append(reached["P@1"])
        written = json.loads((run / "config.json").read_text())
        assert written["drop_own_labels"] is (not given)
    assert precisions[0] > precisions[1]


@pytest.mark.parametrize(
    ("number", "num_named", "num_right", "wanted"),
    [
        (400, 49, 0, False),
        (400, 50, 0, True),
        (1100, 54, 0, False),
        (1100, 55, 0, True),
        (400, 99, 5, False),
        (400, 100, 5, True),
    ],
)
def test_few_texts_do_not_decide(number, num_named, num_right, wanted):
    own = np.full(number, -1, np.int32)
    own[:num_named] = 4
    labels = np.full(number, 2, np.int32)
    labels[:num_right] = 4
    rows = instances.Instances(
        np.zeros(number + 1, np.int64),
        np.zeros(0, np.int32),
        np.zeros(0, np.float32),
        np.arange(number + 1),
        labels,
        own_labels=own,
    )
    found = facts.named(in_memory.InMemorySource(rows, 1, 5))
    assert found == (num_named, num_right / num_named)
    usual = facts.Facts(
        *(number, 1, 5, 2, 0.0, 1.0, (1.0,), True, False, True, 2, 1, False),
        num_named=found[0],
        share_right=found[1],
    )
    assert usual.has_foreign_labels == wanted


def test_an_estimator_of_texts(data):
    names, texts, labels = _pages()
    given = [[names[label] for label in row] for row in labels]
    # Every page is a label, but for those that none refers to.
    model = tfxml.XMLClassifier(
        head="centroid", options={"drop_own_labels": True, "min_df": 1}
    )
    found = model.fit(texts, given).predict(names, 4)
    usual = tfxml.XMLClassifier(head="centroid", options={"min_df": 1})
    answers = usual.fit(texts, given).predict(names, 5)
    assert (answers == np.array(names)[:, None]).any(axis=1).mean() > 0.3
    for name, others, answer in zip(names, found, answers, strict=True):
        assert others.tolist() == [one for one in answer if one != name][:4]


def test_data_that_do_not_say(data, tmp_path):
    rows = np.eye(4, dtype=np.float32), [[0], [1], [0], [1]]
    with pytest.raises(ValueError, match="`drop_own_labels` must be False"):
        train_and_evaluate.train(CONFIG, str(tmp_path / "one"), rows)
    usual = config_lib.Config()
    prepare.prepare(usual, str(data[0]), str(tmp_path / "prepared"))
    with pytest.raises(ValueError, match="`drop_own_labels` must be False"):
        datasets.training_data(CONFIG, str(tmp_path / "prepared"))
