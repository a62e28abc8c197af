"""Recipes: rules on planted facts, mixtures on planted scores, tiny runs."""

import dataclasses
import functools
import itertools
import json

import numpy as np
import pytest
import runs
import scipy.sparse
import tensorflow as tf
from absl import app
from absl import flags as absl_flags
from sklearn import multiclass, svm

from tfxml import config as config_lib
from tfxml import rerank
from tfxml.data import arrays
from tfxml.models import reranker_options
from tfxml.recipe import (
    chooser,
    facts,
    mixing,
    recipe_flags,
    recipe_request,
    rules,
    trial,
)
from tfxml.run import baselines, datasets, flags, train_and_evaluate, workdir

SMALL = facts.Facts(
    num_instances=4_000,
    num_features=2_000,
    num_labels=200,
    num_seen=200,
    features_per_instance=60,
    labels_per_instance=3,
    pairs_of_decile=facts.shares_of_deciles(np.arange(1, 201)),
    is_text=False,
    is_unweighted=False,
    has_label_names=True,
    num_cores=2,
    memory=16 * 2**30,
    has_accelerator=False,
)
LARGE = dataclasses.replace(
    SMALL,
    num_instances=500_000,
    num_features=100_000,
    num_labels=50_000,
    num_seen=50_000,
)
PLENTY = rules.Budget(1e9, 2**50)


def _by_name(planted, budget=PLENTY):
    return {p.name: p for p in rules.affordable(planted, budget)[0]}


def test_shares_of_deciles_add_up_and_fall():
    counts = np.array([0, 5, 1, 90, 4])
    shares = facts.shares_of_deciles(counts)
    assert shares[0] == 0.9 and sum(shares) == pytest.approx(1)
    assert list(shares) == sorted(shares, reverse=True)


def test_counts_are_whole_multiples_of_the_least_value_of_a_row():
    rng = np.random.default_rng(0)
    splits = np.array([0, 4, 4, 9, 12])
    counts = rng.integers(1, 5, 12).astype(np.float32)
    counts[[0, 4, 9]] = 1  # a feature of each row that occurs once
    lengths = np.repeat([0.3, 1, 0.11, 0.7], np.diff(splits))
    assert facts.are_unweighted(splits, counts)
    assert facts.are_unweighted(splits, (counts / lengths).astype(np.float32))
    assert facts.are_unweighted(splits, np.full(12, 0.2, np.float32))
    counts[:9] = 1
    assert facts.are_unweighted(splits, 1 + np.log(counts))
    assert not facts.are_unweighted(splits, rng.random(12).astype(np.float32))
    assert not facts.are_unweighted(splits, -counts)
    assert not facts.are_unweighted(np.zeros(3, int), np.zeros(0, np.float32))


def test_weighted_features_are_tried_for_counts():
    counted = dataclasses.replace(SMALL, is_unweighted=True)
    assert _by_name(counted)["centroid"].tries_idf
    assert not _by_name(counted)["sigmoid"].tries_idf
    text = dataclasses.replace(counted, is_text=True)
    for planted in (SMALL, text):
        assert not _by_name(planted)["centroid"].tries_idf


def test_weighted_features_are_chosen_where_common_ones_say_nothing(
    tmp_path, capsys
):
    """A row has one of 40 words of its label, and many of 3 common ones."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 40, 700)
    words = np.zeros((700, 203), np.float32)
    for word in range(3):
        words[:, word] = rng.integers(1, 30, 700)
    words[np.arange(700), 3 + 5 * labels + rng.integers(0, 5, 700)] = 1
    given = scipy.sparse.csr_matrix(words)
    answers = scipy.sparse.csr_matrix(np.eye(40)[labels])
    data = (given[:600], answers[:600], given[600:], answers[600:])
    request = recipe_request.Request(frozenset({"head"}), 300, 0)
    config = config_lib.Config(head="centroid")
    train_and_evaluate.train(
        config, str(tmp_path / "run"), data, recipe=chooser.Chooser(request)
    )
    output = capsys.readouterr().out
    assert "; weighted\n" in output
    assert "--feature_idf=True" in output
    assert runs.entries(tmp_path / "run")[-1]["P@1"] > 90


def test_pairs_of_words_are_tried_for_centroids_of_short_texts():
    def tries(**changes):
        by_name = _by_name(dataclasses.replace(SMALL, **changes))
        assert not by_name["sigmoid"].tries_ngrams
        return by_name["centroid"].tries_ngrams

    assert tries(is_text=True, features_per_instance=30)
    assert not tries(is_text=True, features_per_instance=31)
    assert not tries(is_text=False, features_per_instance=30)


@pytest.mark.slow
def test_pairs_of_words_are_chosen_where_their_order_tells(tmp_path, capsys):
    """Labels are ordered pairs of six words, among words that say nothing."""
    rng = np.random.default_rng(0)
    pairs = list(itertools.permutations(["ax", "bow", "cup", "dot", "elf"], 2))
    labels = rng.integers(0, len(pairs), 700)
    texts = []
    for label in labels:
        noise = [f"noise{word}" for word in rng.integers(0, 20, 4)]
        texts.append(" ".join([*noise[:2], *pairs[label], *noise[2:]]))
    answers = [[str(label)] for label in labels]
    data = (texts[:600], answers[:600], texts[600:], answers[600:])
    request = recipe_request.Request(frozenset({"head"}))
    path = tmp_path / "run"
    reached = train_and_evaluate.train(
        config_lib.Config(head="centroid"),
        str(path),
        data,
        recipe=chooser.Chooser(request),
    )
    output = capsys.readouterr().out
    assert "pairs of words beside single ones, weight 0.6: P@1" in output
    assert "; read too\n" in output
    config, _ = workdir.Workdir(path).read()
    assert (config.ngrams, config.ngram_weight) == (2, 0.6)
    assert f"--ngram_weight={config.ngram_weight:g}" in output
    assert reached["P@1"] > 90
    # The recipe reproduces the run without a trial.
    again = str(tmp_path / "again")
    assert train_and_evaluate.train(config, again, data) == reached
    # What is given stays.
    given = recipe_request.Request(frozenset({"head", "ngrams"}))
    train_and_evaluate.train(
        config_lib.Config(head="centroid"),
        str(tmp_path / "given"),
        data,
        recipe=chooser.Chooser(given),
    )
    assert "pairs of words" not in capsys.readouterr().out
    config, _ = workdir.Workdir(tmp_path / "given").read()
    assert (config.ngrams, config.ngram_weight) == (1, 1.0)


def test_titles_are_tried_for_centroids_where_there_are_some():
    for has_titles in (False, True):
        facts_of = dataclasses.replace(SMALL, has_titles=has_titles)
        by_name = _by_name(facts_of)
        assert by_name["centroid"].tries_titles == has_titles
        assert not by_name["sigmoid"].tries_titles


@pytest.mark.slow
def test_rare_words_count_more_where_they_tell_more(tmp_path, capsys):
    """A text has one rare word of its label, and a few common ones."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 30, 700)
    texts = [
        " ".join(
            [f"rare{label}x{rng.integers(4)}"]
            + [f"common{word}" for word in rng.integers(0, 12, 9)]
        )
        for label in labels
    ]
    answers = [[int(label)] for label in labels]
    data = (texts[:600], answers[:600], texts[600:], answers[600:])
    request = recipe_request.Request(frozenset({"head", "ngrams"}), 300, 0)
    config = config_lib.Config(head="centroid")
    train_and_evaluate.train(
        config, str(tmp_path / "run"), data, recipe=chooser.Chooser(request)
    )
    output = capsys.readouterr().out
    assert "inverse document frequency to the power of 1.5: P@1" in output
    found = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (found["idf_power"] == 1.5) == ("--idf_power=1.5" in output)
    given = recipe_request.Request(request.given | {"idf_power"}, 300, 0)
    train_and_evaluate.train(
        config, str(tmp_path / "kept"), data, recipe=chooser.Chooser(given)
    )
    assert "to the power" not in capsys.readouterr().out


def test_titles_are_read_twice_where_they_tell_more(tmp_path, capsys):
    """A title has the label's word once, and content three others' words."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 30, 700)
    others = rng.integers(0, 30, (700, 3))
    folder = tmp_path / "data"
    folder.mkdir()
    for split, rows in (("train", range(600)), ("test", range(600, 700))):
        lines = [
            json.dumps(
                {
                    "title": f"word{labels[row]}",
                    "content": " ".join(f"word{word}" for word in others[row]),
                    "labels": [f"label {labels[row]}"],
                }
            )
            for row in rows
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    request = recipe_request.Request(frozenset({"head", "ngrams"}))
    path = tmp_path / "run"
    reached = train_and_evaluate.train(
        config_lib.Config(head="centroid"),
        str(path),
        str(folder),
        recipe=chooser.Chooser(request),
    )
    output = capsys.readouterr().out
    assert "titles read 2 times: P@1" in output
    assert "; taken\n" in output
    config, _ = workdir.Workdir(path).read()
    assert config.title_weight in rules.TITLE_WEIGHTS
    assert f"--title_weight={config.title_weight}" in output
    assert reached["P@1"] > 90
    # The recipe reproduces the run without a trial.
    again = str(tmp_path / "again")
    assert train_and_evaluate.train(config, again, str(folder)) == reached


def test_few_instances_get_small_batches_and_more_epochs():
    small = _by_name(SMALL)["sigmoid"].options
    large = _by_name(LARGE)["sigmoid"].options
    assert small["batch_size"] < large["batch_size"]
    assert small["num_epochs"] > large["num_epochs"]


def test_labels_of_few_instances_get_no_sigmoid_head():
    rare = dataclasses.replace(SMALL, labels_per_instance=0.4)
    assert rare.instances_per_label == 8
    assert list(_by_name(rare)) == ["centroid"]


def test_dense_rows_get_more_passes():
    sparse = dataclasses.replace(SMALL, features_per_instance=10)
    dense = dataclasses.replace(SMALL, features_per_instance=1000)
    passes = [
        _by_name(one)["centroid"].options["reranker_passes"]
        for one in (sparse, dense)
    ]
    assert passes == [6, 100]
    text = dataclasses.replace(dense, is_text=True)
    assert _by_name(text)["centroid"].options["reranker_passes"] == 6


def test_instances_of_few_features_get_more_negatives_and_candidates():
    """All labels, or as many as have 4,000 features; 20 million in all."""

    def sizes(num_labels=9_000, **changes):
        facts_of = dataclasses.replace(SMALL, num_labels=num_labels, **changes)
        options = _by_name(facts_of)["centroid"].options
        return options["num_hard_negatives"], options["num_candidates"]

    assert sizes(features_per_instance=60) == (400, 200)
    assert sizes(features_per_instance=60, num_instances=30_000) == (200, 100)
    assert sizes(features_per_instance=8) == (500, 250)
    assert sizes(features_per_instance=2) == (800, 400)
    assert sizes(600, features_per_instance=10) == (600, 600)  # all labels
    assert sizes(600, features_per_instance=20) == (400, 200)
    few = {"features_per_instance": 5, "labels_per_instance": 300}
    assert sizes(**few, num_instances=50_000) == (400, 200)
    assert sizes(**few, num_instances=500_000) == (200, 100)


def test_names_are_tried_where_labels_have_few_instances():
    rare = dataclasses.replace(SMALL, labels_per_instance=1)
    assert (rare.instances_per_label, SMALL.instances_per_label) == (20, 60)
    assert _by_name(rare)["centroid"].tries_names
    assert not _by_name(SMALL)["centroid"].tries_names
    assert not _by_name(rare)["sigmoid"].tries_names
    nameless = dataclasses.replace(rare, has_label_names=False)
    assert not _by_name(nameless)["centroid"].tries_names
    # A trial of a tenth of the instances does not tell what names cost.
    many = dataclasses.replace(SMALL, num_instances=600_000)
    quarter = dataclasses.replace(SMALL, num_instances=240_000)
    for head in ("centroid", "sigmoid"):
        assert _by_name(rare)[head].weighs_names
        assert _by_name(SMALL)[head].weighs_names
        assert _by_name(quarter)[head].weighs_names
        assert not _by_name(many)[head].weighs_names
        assert not _by_name(nameless)[head].weighs_names


def test_trials_of_names_count_against_the_time():
    """Three of them, beside the trial without."""
    named = dataclasses.replace(
        SMALL, num_instances=8_000, labels_per_instance=0.5
    )
    nameless = dataclasses.replace(named, has_label_names=False)
    centroid, sigmoid = rules.proposals(nameless)[:2]
    share = rules.num_tried(named) / named.num_instances
    enough = centroid.seconds * share + sigmoid.seconds * (1 + share)
    budget = rules.Budget(enough * 1.001, 2**50)
    assert set(_by_name(nameless, budget)) == {"centroid", "sigmoid"}
    assert set(_by_name(named, budget)) == {"centroid"}


@pytest.mark.parametrize("planted", [SMALL, LARGE])
def test_proposals_are_configs_of_the_planted_sizes(planted):
    for proposal in rules.proposals(planted):
        config = config_lib.Config(**proposal.options)
        assert config.num_candidates <= planted.num_labels
        assert config.num_hard_negatives <= planted.num_labels


def test_the_widest_head_within_the_time_is_tried():
    whole = [p for p in rules.proposals(SMALL) if p.name == "sigmoid"]
    narrow, wide = sorted(p.options["hidden_units"] for p in whole)
    assert _by_name(SMALL)["sigmoid"].options["hidden_units"] == wide
    enough = sum(p.seconds for p in rules.proposals(SMALL)[:2]) * 3
    budget = rules.Budget(enough, 2**50)
    assert _by_name(SMALL, budget)["sigmoid"].options["hidden_units"] == narrow


@pytest.mark.parametrize(
    "budget", [rules.Budget(60, 2**50), rules.Budget(1e9, 2**20)]
)
def test_what_costs_too_much_is_left_out_and_named(budget):
    within, beyond = rules.affordable(LARGE, budget)
    assert [p.name for p in within] == ["centroid"]
    assert [p.name for p in beyond] == ["sigmoid", "sigmoid"]


def test_a_trial_leaves_rows_to_judge_by():
    for planted in (SMALL, LARGE):
        tried, held = rules.num_tried(planted), rules.num_held_out(planted)
        assert 0 < held and 0 < tried
        assert tried + held <= planted.num_instances


def test_few_instances_are_tried_on_several_parts():
    """Until 1,000 are held out, and on four parts at most."""

    def parts(num_instances):
        few = dataclasses.replace(SMALL, num_instances=num_instances)
        return rules.num_held_out(few), rules.num_parts(few)

    assert parts(250) == (31, 4)
    assert parts(3_000) == (375, 3)
    assert parts(7_999) == (999, 2)
    assert parts(8_000) == (1_000, 1)
    assert parts(500_000) == (2_000, 1)


def test_trials_of_several_parts_count_against_the_time():
    few, many = (
        dataclasses.replace(SMALL, num_instances=number)
        for number in (4_000, 8_000)
    )
    seconds = [
        rules.trial_seconds(facts_of, rules.proposals(facts_of)[0])
        / rules.proposals(facts_of)[0].seconds
        for facts_of in (few, many)
    ]
    assert seconds == pytest.approx([2 * 7 / 8, 7 / 8])


def test_parts_hold_different_instances_out(tiny):
    data = datasets.training_data(TINY, str(tiny))
    number = data.train.num_instances
    parts = trial.parts_of(data, number - 60, 60, 3, seed=0)
    texts = [
        {
            part.rows.feature_ids[a:b].tobytes()
            for a, b in itertools.pairwise(part.rows.splits)
        }
        for part in parts
    ]
    assert all(part.data.train.num_instances == number - 60 for part in parts)
    for one, other in itertools.combinations(texts, 2):
        assert len(one & other) < 10  # but for instances that are alike


def _planted(rng, teller):
    """Returns candidates of which one member alone tells the true ones."""
    is_true = rng.random((300, 30)) < 0.2
    noise = [rng.normal(size=is_true.shape).astype(np.float32) for _ in "123"]
    members = dict(zip(("logits", "margins", "cosines"), noise, strict=True))
    members["names"] = np.zeros_like(noise[0])
    members[teller] = (is_true * 2 - 1).astype(np.float32)
    return mixing.Candidates(is_true, **members)


def test_the_mixture_is_what_tells_labels_apart():
    rng = np.random.default_rng(0)
    assert mixing.fit([_planted(rng, "logits")])[1].head_share == 1
    of_margins = mixing.fit([_planted(rng, "margins")])[1]
    assert (of_margins.head_share, of_margins.centroid) == (0, 0)
    assert of_margins.name == 0
    of_cosines = mixing.fit([_planted(rng, "cosines")])[1]
    assert of_cosines.centroid == 4
    of_names = mixing.fit([_planted(rng, "names")])[1]
    assert of_names.name == 1


def test_of_rerankers_the_one_that_tells_labels_apart_is_taken():
    rng = np.random.default_rng(1)
    telling = _planted(rng, "margins")
    noise = rng.normal(size=telling.margins.shape).astype(np.float32)
    useless = telling._replace(margins=noise)
    for place in (0, 1):
        rerankers = [useless, telling] if place else [telling, useless]
        found, mixture = mixing.fit(rerankers)
        assert found == place
        assert mixture.precisions == mixing.precisions(
            telling.is_true, telling.margins
        )


@pytest.mark.parametrize("num_better", [3, 60])
def test_margins_alone_are_taken_unless_a_mixture_is_clearly_ahead(num_better):
    """The head ranks two rows worse; three better ones may be by chance."""
    rng = np.random.default_rng(2)
    is_true = np.zeros((400, 30), bool)
    is_true[:, 0] = True
    margins = np.where(is_true, 0.5, -0.5).astype(np.float32)
    margins[:num_better, 1] = 0.6  # above the true label's
    margins[-2:, 1] = 0.45  # just below
    logits = rng.normal(size=is_true.shape).astype(np.float32)
    logits[:num_better, 0] = 9
    logits[-2:, 1] = 9
    nothing = np.zeros_like(margins)
    planted = mixing.Candidates(is_true, logits, margins, nothing, nothing)
    _, mixture = mixing.fit([planted])
    assert (mixture.head_share > 0) == (num_better == 60)


def test_precisions_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    is_true = rng.random((20, 8)) < 0.4
    scores = rng.permutation(160).reshape(20, 8).astype(np.float32)
    for k, found in zip(
        (1, 3, 5), mixing.precisions(is_true, scores), strict=True
    ):
        best = [
            sorted(range(8), key=lambda j, i=i: -scores[i, j])[:k]
            for i in range(20)
        ]
        hits = [is_true[i, j] for i in range(20) for j in best[i]]
        assert found == pytest.approx(100 * np.mean(hits))


# --- runs -------------------------------------------------------------------

TINY = config_lib.Config(steps_per_loop=20, hidden_units=(8,))
NARROW = recipe_request.Request(frozenset({"hidden_units"}))


def _write(path, rng, num_rows):
    """Writes rows in the format of the repository: each label has words."""
    lines = [f"{num_rows} 60 20"]
    for _ in range(num_rows):
        labels = rng.choice(20, 2, replace=False)
        words = {3 * label + rng.integers(3) for label in labels}
        words |= set(rng.integers(60, size=3).tolist())
        of_words = " ".join(f"{word}:1" for word in sorted(words))
        lines.append(f"{','.join(map(str, sorted(labels)))} {of_words}")
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    rng = np.random.default_rng(0)
    _write(folder / "train.txt", rng, 250)
    _write(folder / "test.txt", rng, 100)
    return folder


@pytest.fixture(scope="module")
def two_parts():
    """Trials of few instances on two parts and not four: it takes less."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "_MOST_PARTS", 2)
        yield


@pytest.fixture(scope="module")
def auto(tiny, two_parts, tmp_path_factory):
    """Returns the folder of a run whose recipe was chosen, and its metrics."""
    path = tmp_path_factory.mktemp("run") / "auto"
    return path, train_and_evaluate.train(
        TINY, str(path), str(tiny), recipe=chooser.Chooser(NARROW)
    )


def test_a_dearer_head_must_be_better_by_half_a_percent(capsys):
    def outcome(name, first):
        proposal = dataclasses.replace(rules.proposals(SMALL)[0], name=name)
        mixture = mixing.Mixture(0.0, 0.0, 20, (first, 50.0, 40.0))
        return trial.Outcome(proposal, {}, mixture, 1.0, ())

    def taken(first, worth=rules.WORTH):
        outcomes = [outcome("centroid", 60.0), outcome("sigmoid", first)]
        name = chooser._best(outcomes, worth).proposal.name
        return name, capsys.readouterr().out

    name, said = taken(61.0)
    assert name == "sigmoid" and "centroid 50.00, sigmoid 50.33" in said
    assert "sigmoid is taken" in said and "dearer" not in said
    name, said = taken(60.6)
    assert name == "centroid" and "sigmoid is dearer and must" in said
    name, said = taken(59.7)
    assert name == "centroid" and "dearer" not in said
    # In a trial of few of the instances it may be worse by as much.
    for number, worth in ((14_000, rules.WORTH), (45_000, 2 - rules.WORTH)):
        facts_of = dataclasses.replace(SMALL, num_instances=number)
        assert rules.worth(facts_of) == worth
    for first in (60.6, 59.4):
        name, said = taken(first, 2 - rules.WORTH)
        assert name == "sigmoid" and "dearer" not in said
        assert ("gains more" in said) == (first < 60)
    assert taken(59.2, 2 - rules.WORTH)[0] == "centroid"


def test_the_flagfile_reproduces_the_run(auto, tiny, tmp_path):
    path, metrics = auto
    values = absl_flags.FlagValues()
    flags.define_config(values)
    values(["test", f"--flagfile={path / 'flags.cfg'}"])
    config = flags.read_config(values)
    assert config == workdir.Workdir(path).read()[0]
    assert config != TINY
    assert train_and_evaluate.train(config, str(tmp_path), str(tiny)) == metrics


def test_the_same_command_resumes_without_another_trial(auto, tiny, capsys):
    path, metrics = auto
    again = train_and_evaluate.train(
        TINY, str(path), str(tiny), recipe=chooser.Chooser(NARROW)
    )
    assert again == metrics
    assert "recipe " not in capsys.readouterr().out


def test_a_resumed_run_keeps_to_what_is_given(auto, tiny):
    path, _ = auto
    with pytest.raises(ValueError, match="differ in hidden_units"):
        other = TINY.replace(hidden_units=(7,))
        train_and_evaluate.train(
            other, str(path), str(tiny), recipe=chooser.Chooser(NARROW)
        )


def _choose(tiny, request, **options):
    config = TINY.replace(**options)
    data = datasets.training_data(config, str(tiny))
    read = functools.partial(datasets.training_data, data_dir=str(tiny))
    return chooser.choose(config, data, request, read)[0]


def test_what_is_given_stays(tiny, two_parts, capsys):
    given = {"head": "sigmoid", "hidden_units": (24,), "reranker_passes": 0}
    chosen = _choose(tiny, recipe_request.Request(frozenset(given)), **given)
    assert {name: getattr(chosen, name) for name in given} == given
    assert chosen.num_epochs == 20  # not given: few instances
    assert "centroid (" not in capsys.readouterr().out


def test_a_begun_trial_comes_to_the_same_end(auto, tiny):
    chosen = _choose(tiny, NARROW)
    assert chosen == workdir.Workdir(auto[0]).read()[0]


def test_a_short_time_leaves_heads_out_and_says_so(tiny, two_parts, capsys):
    chosen = _choose(tiny, recipe_request.Request(seconds=0.01))
    assert chosen.head == "centroid"
    told = capsys.readouterr().out
    assert "not tried: sigmoid" in told and "--time_budget=" in told


# --- flags ------------------------------------------------------------------


def _request(*words, data_dir="", strategy=None):
    values = absl_flags.FlagValues()
    flags.define_config(values)
    recipe_flags.define(values)
    values(["test", *words])
    config = flags.read_config(values)
    strategy = strategy or tf.distribute.get_strategy()
    return recipe_flags.read(config, data_dir, strategy, values=values)


def test_a_recipe_is_chosen_where_nothing_binds_it():
    assert _request(data_dir="somewhere") == recipe_request.Request(seconds=300)
    assert _request("--seed=3", data_dir="x").given == {"seed"}
    assert _request() is None  # the generated set
    assert _request("--num_epochs=3", data_dir="x") is None
    assert _request("--recipe=none", data_dir="x") is None
    bound = _request("--recipe=auto", "--num_epochs=3", data_dir="x")
    assert bound.given == {"num_epochs"}
    sized = _request("--time_budget=2h", "--memory_budget=2GiB", data_dir="x")
    assert (sized.seconds, sized.bytes) == (7200, 2**31)


@pytest.mark.parametrize(
    ("name", "text"),
    [*itertools.product(("time_budget", "memory_budget"), ("0m", "10", "x"))],
)
def test_a_budget_is_a_number_and_a_unit(name, text):
    with pytest.raises(app.UsageError, match=name):
        _request(f"--{name}={text}", data_dir="x")


def test_other_encoders_have_no_recipe():
    with pytest.raises(ValueError, match="encoder"):
        recipe_request.Request().check(TINY.replace(encoder="conv"))


# --- a re-ranker for a trained run ------------------------------------------


@pytest.mark.parametrize(
    "head", ["centroid", pytest.param("sigmoid", marks=pytest.mark.slow)]
)
def test_a_reranker_is_added_to_a_trained_run(head, tiny, tmp_path):
    """It is the one that training would have learnt."""
    options = {"reranker_passes": 3, "num_candidates": 8}
    plain = TINY.replace(head=head, num_epochs=2, hidden_units=(8,))
    train_and_evaluate.train(plain, str(tmp_path / "plain"), str(tiny))
    whole = plain.replace(**options)
    expected = train_and_evaluate.train(
        whole, str(tmp_path / "whole"), str(tiny)
    )
    options |= {
        field.name: field.default
        for field in dataclasses.fields(reranker_options.RerankerOptions)
        if field.name not in options
    }
    added = tmp_path / "added"
    found = rerank.rerank(str(tmp_path / "plain"), str(added), options)
    assert {key: found[key] for key in expected} == expected
    assert workdir.Workdir(added).read()[0] == whole
    # It evaluates, and its command has nothing left to do.
    assert train_and_evaluate.train(whole, str(added), str(tiny)) == expected
    with pytest.raises(ValueError, match="new folder"):
        rerank.rerank(str(tmp_path / "plain"), str(added), options)


def test_quick_linear_classifiers_are_those_of_a_peer():
    """Two thirds of the features are noise; labels overlap."""
    rng = np.random.default_rng(5)
    rows = rng.random((1500, 60)) * (rng.random((1500, 60)) < 0.3)
    scores = rows[:, :20] @ rng.normal(size=(20, 12))
    has = scores > np.quantile(scores, 0.8, axis=0)
    split = (rows[:1200], has[:1200], rows[1200:], has[1200:])
    data = datasets.training_data(TINY, arrays.data_of(split))
    found = baselines.of(data)
    peer = multiclass.OneVsRestClassifier(svm.LinearSVC(C=1.0))
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    peer.fit((rows / lengths)[:1200], has[:1200])
    best = peer.decision_function((rows / lengths)[1200:]).argmax(1)
    expected = 100 * has[1200:][np.arange(300), best].mean()
    assert found["quick linear classifiers"] == pytest.approx(expected, abs=3)
    assert expected > 20 + found["the most frequent labels"]


def test_baselines_and_what_is_said_of_them(tiny):
    data = datasets.training_data(TINY, str(tiny))
    assert baselines.of(data) == {}  # of few instances nothing is said
    found = {"the most frequent labels": 30.0, "nearest centroids": 10.0}
    told = baselines.remarks(20.0, found, [], False)
    assert len(told) == 2 and "not ahead of the most frequent" in told[1]
    assert "try --recipe=auto, or more" in told[1]
    told = baselines.remarks(20.0, found, [], True)
    assert "--reranker_passes=30, or more --time_budget" in told[1]
    names = ("nearest centroids", "quick linear classifiers")
    told = baselines.remarks(20.0, dict.fromkeys(names, 20.0), [], False)
    assert len(told) == 2 and " and ".join(names) in told[1]
    # None can be ahead where all are right.
    best = dict.fromkeys(names, 100.0)
    assert len(baselines.remarks(100.0, best, [], False)) == 1
    assert "still fell" in baselines.remarks(50.0, {}, [5.0, 4.0], False)[0]
    assert not baselines.remarks(50.0, {}, [5.0, 4.95], False)
