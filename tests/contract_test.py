"""What every head, loss and encoder promises, for whatever classes exist.

The classes are found in the files of their folders: one that is left out of
its dictionary fails here, and one in the dictionary is held to the contract.
"""

import functools
import importlib
import inspect
import pathlib
import pkgutil
import tempfile

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.cpu import predictor
from tfxml.data import inputs
from tfxml.data.feeding import pipeline
from tfxml.models import (
    contract,
    encoders,
    extreme_classifier,
    heads,
    losses,
    row_forms,
    sparse_labels,
)
from tfxml.run import build, workdir
from tfxml.training import optimizers, replica_step, solvers

N, D, L, K = 11, 30, 41, 6
PACKAGES = {
    contract.Head: (heads, heads.HEADS),
    contract.Loss: (losses, losses.LOSSES),
    contract.Encoder: (encoders, encoders.ENCODERS),
}
GRADIENT_HEADS = [
    name
    for name, head in heads.HEADS.items()
    if head.learns == contract.GRADIENTS
]


def _classes(kind):
    """Returns the classes of a kind that the files of its folder define."""
    package, _ = PACKAGES[kind]
    for module in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{module.name}")
        for _, member in inspect.getmembers(module, inspect.isclass):
            if (
                issubclass(member, kind)
                and member.__module__ == module.__name__
            ):
                yield member


@pytest.mark.parametrize("kind", list(PACKAGES))
def test_every_class_is_in_its_dictionary(kind):
    _, names = PACKAGES[kind]
    assert set(_classes(kind)) == set(names.values())
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("kind", list(PACKAGES))
def test_every_option_is_a_field_of_the_config(kind):
    fields = {
        f.name: f for f in config_lib.dataclasses.fields(config_lib.Config)
    }
    for module in _classes(kind):
        for field in config_lib.dataclasses.fields(module.Options):
            assert fields[field.name].default == field.default
            assert len(field.metadata["help"]) > 10


def test_a_head_that_learns_in_one_pass_has_a_solver():
    wanted = {h for h in heads.HEADS.values() if h.learns == contract.ONE_PASS}
    assert wanted == set(solvers.SOLVERS)


def _encoders_of(head):
    """Returns the encoders that give what the head reads, the usual first."""
    reads_states = heads.HEADS.options(head).reads_states
    return [
        name
        for name in encoders.ENCODERS
        if encoders.ENCODERS.options(name).gives_states or not reads_states
    ]


@functools.cache
def _backbone(encoder):
    """Returns the file of a Keras model, for encoders that read one."""
    if not encoder.endswith("backbone"):
        return ""
    first = keras.layers.Embedding(D + 1, 6)
    if encoder == "dense_backbone":
        first = keras.layers.Dense(6, "tanh")
    shape = (D,) if encoder == "dense_backbone" else (None,)
    model = keras.Sequential(
        [keras.Input(shape), first, keras.layers.Dense(5, "tanh")]
    )
    path = f"{tempfile.mkdtemp()}/some.keras"
    model.save(path)
    return path


def _config(head="sigmoid", encoder="", **words):
    encoder = encoder or _encoders_of(head)[0]
    return config_lib.Config(
        head=head,
        encoder=encoder,
        backbone=_backbone(encoder),
        hidden_units=(7,),
        dropout=0.0,
        num_repetitions=3,
        num_buckets=8,
        label_block_size=17,
        word_dim=8,
        conv_filters=4,
        recurrent_units=4,
        transformer_layers=1,
        transformer_units=8,
        decoder_units=8,
        decoder_labels=3,
        **words,
    )


def _model(config, **changes):
    facts = workdir.Facts(D, L, 100, "compact", False, "", num_tokens=D + 1)
    if heads.HEADS[config.head].reads_rows:
        facts = workdir.Facts(D, L, 100, "ragged", False, "")
    counts = np.random.default_rng(0).integers(0, 30, L)
    model = build.model(
        config, facts, counts, **{"label_pairs": _pairs(), **changes}
    )
    rng = np.random.default_rng(1)
    for weight in model.trainable_variables:
        weight.assign(rng.normal(scale=0.3, size=weight.shape))
    return model


def _pairs():
    """Returns how often labels occur together, of a training split."""
    rng = np.random.default_rng(0)
    sets = scipy.sparse.csr_matrix(rng.random((100, L)) < 0.2, dtype=int)
    return sets.T @ sets


def _batch(seed=0):
    """Returns named inputs, sets of labels and weights of N instances."""
    rng = np.random.default_rng(seed)
    rows = [np.sort(rng.choice(D, rng.integers(1, 9), False)) for _ in range(N)]
    ids = tf.ragged.constant([r.tolist() for r in rows], dtype=tf.int32)
    values = ids.with_values(
        tf.constant(rng.normal(size=len(ids.flat_values)), tf.float32)
    )
    sets = [rng.choice(L, rng.integers(1, 4), False).tolist() for _ in range(N)]
    tokens = tf.ragged.map_flat_values(lambda one: one + 1, ids)
    batch = {**inputs.features(ids, values), inputs.TOKEN_IDS: tokens}
    labels = tf.ragged.constant(sets, dtype=tf.int32)
    return batch, labels, tf.constant(rng.random(N), tf.float32)


# --- losses -----------------------------------------------------------------


def _positives(seed=0, is_padded=False):
    rng = np.random.default_rng(seed)
    sets = [rng.choice(9, rng.integers(0, 4), False).tolist() for _ in range(5)]
    labels = tf.ragged.constant(sets, dtype=tf.int32)
    weights = tf.constant(rng.random(5), tf.float32)
    ids = labels.to_tensor(-1) if is_padded else labels
    return sparse_labels.positives_of(ids, weights), weights


@pytest.mark.parametrize("is_padded", [False, True])
@pytest.mark.parametrize("name", list(losses.LOSSES))
def test_gradients_of_losses_are_finite_differences(name, is_padded):
    loss = losses.LOSSES[name]()
    positives, weights = _positives(3, is_padded)
    logits = np.random.default_rng(4).normal(size=(5, 9)).astype(np.float32)

    def value(z):
        return float(loss.value(tf.constant(z, tf.float32), positives, weights))

    here, step = value(logits), 1e-2
    slopes = np.zeros((2, *logits.shape))
    for place in np.ndindex(*logits.shape):
        up, down = logits.copy(), logits.copy()
        up[place] += step
        down[place] -= step
        slopes[0][place] = (here - value(down)) / step
        slopes[1][place] = (value(up) - here) / step
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        total = loss.value(tf.convert_to_tensor(variable), positives, weights)
    gradients = [tape.gradient(total, variable)]
    if loss.has_logit_gradient:
        gradients.append(
            loss.logit_gradient(tf.constant(logits), positives, weights)
        )
    for gradient in gradients:
        # At a kink the slopes of both sides differ; elsewhere by little.
        assert (gradient >= slopes.min(axis=0) - 2e-3).numpy().all()
        assert (gradient <= slopes.max(axis=0) + 2e-3).numpy().all()


@pytest.mark.parametrize("name", list(losses.LOSSES))
def test_separating_losses_add_up_over_blocks(name):
    loss = losses.LOSSES[name]()
    positives, weights = _positives(5)
    logits = tf.constant(
        np.random.default_rng(4).normal(size=(5, 9)), "float32"
    )
    whole = loss.value(logits, positives, weights)
    total = 0.0
    for first, last in ((0, 4), (4, 9)):
        is_here = (positives.columns >= first) & (positives.columns < last)
        part = contract.Positives(
            positives.rows,
            tf.where(is_here, positives.columns - first, 0),
            tf.where(is_here, positives.weights, 0.0),
        )
        total += loss.value(logits[:, first:last], part, weights)
    assert np.isclose(whole, total, rtol=1e-5) == loss.separates


@pytest.mark.parametrize("name", list(losses.LOSSES))
def test_losses_come_back_from_their_config(name):
    loss = losses.LOSSES[name]()
    again = losses.from_config(losses.to_config(loss))
    assert type(again) is type(loss)
    assert again.get_config() == loss.get_config()


# --- heads and encoders -------------------------------------------------------

USUAL = {"sigmoid", "bag", "sigmoid_cross_entropy"}


def _case(*names):
    """Returns the names; slow where more than one is not the usual one."""
    is_quick = len(USUAL.difference(names)) <= 1
    return pytest.param(*names, marks=[] if is_quick else pytest.mark.slow)


CASES = [
    _case(head, encoder, loss)
    for head in GRADIENT_HEADS
    for encoder in _encoders_of(head)
    for loss in losses.LOSSES
]


@pytest.mark.parametrize(("head", "encoder", "loss"), CASES)
def test_every_trainable_weight_is_trained(head, encoder, loss):
    model = _model(_config(head=head, encoder=encoder, loss=loss))
    before = {n: w.numpy() for n, w in model.named_variables().items()}
    batch, labels, weights = _batch()
    optimizer = optimizers.create("sgd", 0.5)
    optimizer.build(model.trainable_variables)
    step = replica_step.make_replica_step(model, optimizer, seed=0)

    share = pipeline.Batch(batch, labels, weights, tf.range(N, dtype=tf.int64))
    tf.distribute.get_strategy().run(
        step, args=(share, tf.constant(0, tf.int64))
    )
    trainable = {id(w) for w in model.trainable_variables}
    for name, weight in model.named_variables().items():
        is_moved = not np.array_equal(before[name], weight.numpy())
        assert is_moved == (id(weight) in trainable), name


@pytest.mark.parametrize(("head", "encoder", "loss"), CASES)
def test_gradients_of_weights_are_finite_differences(head, encoder, loss):
    """Of each weight by itself, along a random direction."""
    model = _model(_config(head=head, encoder=encoder, loss=loss))
    batch, labels, weights = _batch()

    def value():
        return model.loss_sum(batch, labels, weights)

    with tf.GradientTape() as tape:
        loss_sum = value()
    gradients = tape.gradient(loss_sum, model.trainable_variables)
    rng = np.random.default_rng(2)
    for weight, gradient in zip(
        model.trainable_variables, gradients, strict=True
    ):
        start, step = weight.numpy(), 3e-3
        here = float(loss_sum)
        # Float32 rounds the loss, which the step divides.
        rounding = 4 * float(np.spacing(np.float32(here))) / step
        # A direction can meet kinks on both sides; a wrong gradient is wrong
        # in all.
        for _ in range(3):
            direction = rng.normal(size=start.shape)
            direction /= np.linalg.norm(direction)
            weight.assign(start + step * direction)
            up = value().numpy()
            weight.assign(start - step * direction)
            down = value().numpy()
            weight.assign(start)
            along = (tf.convert_to_tensor(gradient).numpy() * direction).sum()
            # At a kink of a ReLU or a maximum the slopes of both sides differ,
            # and a gradient lies between them.
            slopes = (float(up) - here) / step, (here - float(down)) / step
            slack = 0.02 + 0.02 * max(map(abs, slopes)) + rounding
            if min(slopes) - slack <= along <= max(slopes) + slack:
                break
        else:
            pytest.fail(f"{weight.path}: {along} against {slopes}")


@pytest.mark.parametrize("head", list(heads.HEADS))
def test_every_weight_is_saved(head, tmp_path):
    model = _model(_config(head=head))
    assert {id(w) for w in model.named_variables().values()} == {
        id(w) for w in model.weights
    }
    path = tf.train.Checkpoint(m=model.named_variables()).write(
        str(tmp_path / "c")
    )
    saved = {n: w.numpy() for n, w in model.named_variables().items()}
    other = _model(_config(head=head, seed=9))
    tf.train.Checkpoint(m=other.named_variables()).read(path).assert_consumed()
    for name, weight in other.named_variables().items():
        np.testing.assert_array_equal(weight.numpy(), saved[name])


@pytest.mark.parametrize(("head", "encoder", "loss"), CASES)
def test_the_best_labels_are_the_best_of_all_estimates(head, encoder, loss):
    model = _model(_config(head=head, encoder=encoder, loss=loss))
    batch, _, _ = _batch()
    encoded = model.encode(batch)
    every = model.head.label_estimates(encoded, tf.range(L)).numpy()
    estimates, label_ids = model.head.top_k(encoded, K)
    best = -np.sort(-every, axis=1)[:, :K]
    np.testing.assert_allclose(estimates, best, atol=1e-5)
    np.testing.assert_allclose(
        np.take_along_axis(every, label_ids.numpy(), axis=1), best, atol=1e-5
    )
    scores, ids = model.rank(batch, tf.constant([7, 3, 3, 40]), tf.constant(2))
    wanted = np.array([3, 7, 40])[
        np.argsort(-every[:, [3, 7, 40]], axis=1, kind="stable")[:, :2]
    ]
    np.testing.assert_array_equal(ids, wanted)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(("head", "encoder", "loss"), CASES)
def test_dropped_labels_are_no_answers(head, encoder, loss):
    config = _config(head=head, encoder=encoder, loss=loss)
    whole, fewer = _model(config), _model(config, dropped=[0, 5, 40])
    batch, _, _ = _batch()
    _, wanted = whole.top_k(batch, L)
    _, label_ids = fewer.top_k(batch, L)
    for all_ids, some_ids in zip(
        wanted.numpy(), label_ids.numpy(), strict=True
    ):
        assert [i for i in all_ids if i not in (0, 5, 40)] == list(some_ids)


@pytest.mark.parametrize(("head", "encoder", "loss"), CASES)
def test_the_compiled_path_agrees_or_says_why_not(head, encoder, loss):
    model = _model(_config(head=head, encoder=encoder, loss=loss))
    batch, _, _ = _batch()
    ids, values = batch[inputs.FEATURE_IDS], batch[inputs.FEATURE_VALUES]
    rows = row_forms.RaggedRows(
        ids.flat_values.numpy(), values.flat_values.numpy(), ids.row_splits
    )
    if reason := predictor.why_not(model):
        assert "TensorFlow alone" in reason
        assert not predictor.suits(model, tf.distribute.get_strategy())
        with pytest.raises(ValueError, match="serving form"):
            predictor.CpuPredictor(model)
        return
    scores, label_ids = predictor.CpuPredictor(model).top_k(rows, K)
    wanted_scores, wanted_ids = model.top_k(batch, K)
    np.testing.assert_allclose(scores, wanted_scores, atol=1e-5)
    np.testing.assert_array_equal(label_ids, wanted_ids)


@pytest.mark.parametrize("head", list(heads.HEADS))
def test_the_config_makes_the_same_model(head):
    model = _model(_config(head=head))
    again = extreme_classifier.ExtremeClassifier.from_config(model.get_config())
    assert [(w.shape, w.dtype) for w in again.weights] == [
        (w.shape, w.dtype) for w in model.weights
    ]
    for weight, copied in zip(model.weights, again.weights, strict=True):
        copied.assign(weight)
    batch, _, _ = _batch()
    for first, second in zip(
        model.top_k(batch, K), again.top_k(batch, K), strict=True
    ):
        np.testing.assert_array_equal(first, second)


# --- traps --------------------------------------------------------------------


class _Tempered(heads.HEADS["sigmoid"]):
    """A subclass with a weight outside the blocks; its loss ignores it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.temperature = self.add_weight(
            name="temperature", shape=(), initializer="ones"
        )

    def call(self, encoded):
        return super().call(encoded) * self.temperature


def _tempered():
    return extreme_classifier.ExtremeClassifier(
        [encoders.ENCODERS["bag"](D, (7,))], _Tempered(L, 7), D, "compact"
    )


def test_a_weight_without_a_gradient_is_an_error():
    model = _tempered()
    optimizer = optimizers.create("sgd", 0.5)
    optimizer.build(model.trainable_variables)
    step = replica_step.make_replica_step(model, optimizer, seed=0)

    batch, labels, weights = _batch()
    share = pipeline.Batch(batch, labels, weights, tf.range(N, dtype=tf.int64))
    with pytest.raises(ValueError, match="temperature has no gradient"):
        tf.distribute.get_strategy().run(
            step, args=(share, tf.constant(0, tf.int64))
        )


def test_a_weight_that_the_form_leaves_out_forbids_the_compiled_path():
    model = _tempered()
    assert "leaves out" in predictor.why_not(model)
    assert "temperature" in predictor.why_not(model)
    assert not predictor.suits(model, tf.distribute.get_strategy())


def test_a_weight_outside_the_blocks_is_saved():
    names = _tempered().named_variables()
    assert "head_temperature" in names
    assert len(names) == len(set(map(id, names.values()))) == 5


def test_a_part_that_leaves_a_weight_out_is_an_error():
    class Forgetful(_Tempered):
        def parts(self):
            kept = [
                w for w in self.trainable_weights if w.name != "temperature"
            ]
            return [contract.HeadPart(None, None, kept)]

    model = extreme_classifier.ExtremeClassifier(
        [encoders.ENCODERS["bag"](D, (7,))], Forgetful(L, 7), D, "compact"
    )
    with pytest.raises(ValueError, match="temperature, in 0 parts"):
        model.head_parts()


@pytest.mark.parametrize("head", list(heads.HEADS))
def test_a_head_that_needs_an_encoder_refuses_a_linear_model(head):
    if heads.HEADS.options(head).needs_encoder:
        with pytest.raises(ValueError, match="`head` must be one that reads"):
            config_lib.Config(head=head, hidden_units=())
    else:
        config_lib.Config(head=head, hidden_units=())


def test_head_names_decide_nothing_outside_their_folder():
    """No code compares a config's head, loss or encoder with a name."""
    root = pathlib.Path(__file__).resolve().parents[1] / "tfxml"
    words = ("sigmoid", "mach", "centroid", *losses.LOSSES)
    quoted = {f'"{word}"' for word in words}
    wrong = []
    for path in root.rglob("*.py"):
        if path.parent.name in ("heads", "losses", "encoders"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            is_compared = any(
                f"{sign} {word}" in line
                for word in quoted
                for sign in ("==", "!=", " in (", " is")
            )
            if is_compared:
                wrong.append(f"{path.relative_to(root)}:{number}: {line}")
    assert not wrong


def test_layers_are_keras_layers():
    for head in heads.HEADS.values():
        assert issubclass(head, keras.layers.Layer)
