"""Our loop and Keras' fit train the same models to the same weights."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfxml import estimator
from tfxml.data import own_pipelines
from tfxml.evaluation import keras_metrics, metrics
from tfxml.models import keras_losses
from tfxml.models.encoders import bag_encoder
from tfxml.models.heads import mach_head, sigmoid
from tfxml.training import optimizers, schedules, trainer

N, E, L = 150, 12, 40
HEADS = {
    "sigmoid": lambda: sigmoid.SigmoidHead(L),
    "mach": lambda: mach_head.MachHead(L, num_repetitions=3, num_buckets=11),
}


def _data(kind="padded", with_weights=False, batch_size=32):
    """Returns X, sets of labels, weights and the batches of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, E)).astype(np.float32)
    best = np.argsort(-(x @ rng.normal(size=(E, L))), axis=1)
    sets = [row[: rng.integers(1, 4)].tolist() for row in best]
    ragged = tf.ragged.constant(sets, dtype=tf.int32)
    weights = rng.uniform(0.5, 2, N).astype(np.float32)
    parts = [x, ragged if kind == "ragged" else ragged.to_tensor(-1)]
    if with_weights:
        parts.append(weights)
    batches = tf.data.Dataset.from_tensor_slices(tuple(parts)).batch(batch_size)
    return x, sets, weights, batches


def _model(head):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.layers.Dense(16, "relu"), HEADS[head]()])
    model.build((None, E))
    return model


def _metrics():
    counts = np.arange(L) % 7
    inverse = metrics.inverse_propensities(counts, 100)
    return [
        keras_metrics.PrecisionAtK(1),
        keras_metrics.PrecisionAtK(3),
        keras_metrics.NDCGAtK(3),
        keras_metrics.RecallAtK(3),
        keras_metrics.PSPrecisionAtK(3, inverse),
    ]


@pytest.mark.parametrize(
    "with_weights, kind",
    [
        (False, "padded"),
        (True, "ragged"),
        pytest.param(True, "padded", marks=pytest.mark.slow),
        pytest.param(False, "ragged", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("head", list(HEADS))
def test_keras_fit_and_trainer_agree(head, kind, with_weights):
    _, _, _, batches = _data(kind, with_weights)
    theirs, ours = _model(head), _model(head)
    theirs.compile(
        keras.optimizers.Adam(0.01),
        loss=keras_losses.SparseSigmoidCrossEntropy(),
        weighted_metrics=_metrics(),
    )
    history = theirs.fit(batches, epochs=2, validation_data=batches, verbose=0)
    trained = trainer.Trainer(
        ours, optimizer=keras.optimizers.Adam(0.01), metrics=_metrics()
    )
    result = trained.fit(batches, 2, validation_data=batches, verbose=0)
    for first, second in zip(theirs.weights, ours.weights, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)
    for name, values in result.history.items():
        if name in ("loss", "val_loss") and with_weights:
            continue  # Keras weighs batches by rows, not by their weights
        np.testing.assert_allclose(
            values, history.history[name], rtol=1e-4, err_msg=name
        )


@pytest.mark.parametrize("head", ["sigmoid", "mach"])
def test_the_command_keras_and_the_trainer_are_one(head, tmp_path):
    """Of one recipe: the order, the dropout, the priors and the rate too."""
    rng = np.random.default_rng(0)
    X = rng.random((N, 30)) * (rng.random((N, 30)) < 0.2)
    sets = [rng.permutation(L)[: 1 + row % 4].tolist() for row in range(N)]
    options = {"num_repetitions": 3, "num_buckets": 11, "form": "compact"}
    by_command = estimator.XMLClassifier(
        head, (8,), 2, 16, 0.02, options=options, workdir=str(tmp_path)
    ).fit(X, sets)
    wanted = by_command._fitted().run.model.weights
    priors = own_pipelines.label_priors(sets)
    for is_keras in (False, True):
        batches = own_pipelines.from_csr(X, sets, 16)
        bag = bag_encoder.BagEncoder(30, (8,), dropout=0.5)
        layer = sigmoid.SigmoidHead(L, label_priors=priors)
        if head == "mach":
            layer = mach_head.MachHead(L, 3, 11, label_priors=priors)
        model = keras.Sequential([bag, layer])
        rate = schedules.WarmUpAndDecay(0.02, 2 * int(batches.cardinality()))
        optimizer = optimizers.create("lazy_adam", rate, epsilon=1e-6)
        if is_keras:
            loss = keras_losses.SparseSigmoidCrossEntropy()
            model.compile(optimizer, loss, steps_per_execution=4)
            model.fit(batches, epochs=2, verbose=0)
        else:
            trainer.Trainer(model, optimizer=optimizer).fit(
                batches, 2, verbose=0
            )
        for weight, other in zip(model.weights, wanted, strict=True):
            np.testing.assert_allclose(weight, other, atol=1e-5)


@pytest.mark.parametrize("head", list(HEADS))
def test_metrics_are_those_of_the_definition(head):
    x, sets, _, batches = _data()
    model = _model(head)
    ours = trainer.Trainer(model, metrics=_metrics())
    values = ours.evaluate(batches)
    _, top_ids = ours.predict(batches, 3)
    counts = np.arange(L) % 7
    wanted = metrics.RankingMetrics(
        [1, 3], counts, metrics.inverse_propensities(counts, 100)
    )
    splits = np.cumsum([0, *map(len, sets)])
    wanted.update(top_ids, splits, np.concatenate([sorted(s) for s in sets]))
    for name, value in wanted.result().items():
        if name in values:
            assert np.isclose(100 * values[name], value, atol=1e-3), name


@pytest.mark.parametrize("head", list(HEADS))
def test_the_loss_is_that_of_the_definition(head):
    x, sets, weights, batches = _data("ragged", True, batch_size=N)
    model = _model(head)
    logits = model(x).numpy().astype(np.float64)
    total = 0.0
    for row, labels in enumerate(sets):
        if head == "sigmoid":
            targets = np.zeros(L)
            targets[labels] = 1
            pairs = [(logits[row], targets)]
        else:
            pairs = []
            for r, one in enumerate(model.layers[-1].hashes):
                targets = np.zeros(11)
                targets[one.buckets(np.array(labels))] = 1
                pairs.append((logits[row, r], targets))
        for z, y in pairs:
            loss = np.log1p(np.exp(-np.abs(z))) + np.maximum(z, 0) - y * z
            total += weights[row] * loss.sum()
    value = trainer.Trainer(model).evaluate(batches)["loss"]
    assert np.isclose(value, total / weights.sum(), rtol=1e-5)


def test_label_weights():
    """The loss and its gradient are those of the weighted definition."""
    x, sets, weights, batches = _data("ragged", True, batch_size=N)
    label_weights = np.random.default_rng(1).uniform(0, 3, L)
    loss = keras_losses.SparseSigmoidCrossEntropy(label_weights=label_weights)
    loss = keras_losses.SparseSigmoidCrossEntropy.from_config(loss.get_config())
    model = _model("sigmoid")
    targets = np.zeros((N, L))
    for row, labels in enumerate(sets):
        targets[row, labels] = 1
    z = model(x).numpy().astype(np.float64)
    losses = np.log1p(np.exp(z)) - targets * z
    total = (weights[:, None] * label_weights * losses).sum()
    value = trainer.Trainer(model, loss).evaluate(batches)["loss"]
    assert np.isclose(value, total / weights.sum(), rtol=1e-5)
    ragged = tf.ragged.constant(sets, dtype=tf.int32)
    logits = tf.Variable(z, dtype=tf.float32)
    with tf.GradientTape() as tape:
        value = loss(ragged, logits, weights)
    wanted = weights[:, None] * label_weights * (1 / (1 + np.exp(-z)) - targets)
    np.testing.assert_allclose(
        tape.gradient(value, logits), wanted / weights.sum(), atol=1e-6
    )


@pytest.mark.parametrize("head, number", [("mach", L), ("sigmoid", L - 1)])
def test_label_weights_that_fit_no_logits_are_refused(head, number):
    _, _, _, batches = _data()
    loss = keras_losses.SparseSigmoidCrossEntropy(label_weights=[1.0] * number)
    with pytest.raises(ValueError, match="None for a MachHead"):
        trainer.Trainer(_model(head), loss).fit(batches, verbose=0)


def test_labels_as_a_sparse_tensor():
    x, sets, _, _ = _data()
    dense = np.zeros((N, L))
    for row, labels in enumerate(sets):
        dense[row, labels] = 1
    model = _model("sigmoid")
    logits = model(x)
    loss = keras_losses.SparseSigmoidCrossEntropy()
    ragged = tf.ragged.constant(sets, dtype=tf.int32)
    sparse = tf.sparse.from_dense(dense)
    assert np.isclose(loss(ragged, logits), loss(sparse, logits), rtol=1e-6)
    first, second = keras_metrics.PrecisionAtK(3), keras_metrics.PrecisionAtK(3)
    first.update_state(ragged, logits)
    second.update_state(sparse, logits)
    assert np.isclose(first.result(), second.result())


def test_repeated_rows_of_an_embedding_count_once(tmp_path):
    """A sparse gradient gives the weights that a dense one does."""
    ids = np.array([[1, 1, 2], [2, 1, 1]], np.int32)
    labels = np.array([[0], [1]], np.int32)
    batches = tf.data.Dataset.from_tensors((ids, labels))

    class Bag(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.table = self.add_weight(shape=(5, 4), initializer="ones")

        def call(self, rows):
            return tf.reduce_mean(tf.gather(self.table.value, rows), axis=1)

    class DenseBag(Bag):
        def call(self, rows):
            return tf.reduce_mean(tf.one_hot(rows, 5) @ self.table, axis=1)

    tables = []
    for bag in (Bag(), DenseBag()):
        keras.utils.set_random_seed(0)
        rows = keras.Input((3,), dtype="int32")
        model = keras.Sequential([rows, bag, sigmoid.SigmoidHead(3)])
        trainer.Trainer(model, optimizer=keras.optimizers.Adam(0.1)).fit(
            batches, 3, verbose=0
        )
        tables.append(bag.table.numpy())
    np.testing.assert_allclose(*tables, atol=1e-5)


def test_callbacks_of_keras(tmp_path):
    _, _, _, batches = _data()

    class Counts(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.batches, self.epochs = 0, []

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1
            assert logs["loss"] > 0

        def on_epoch_end(self, epoch, logs=None):
            self.epochs.append(epoch)
            assert "val_P@1" in logs

    counts = Counts()
    ours = trainer.Trainer(
        _model("sigmoid"),
        optimizer=keras.optimizers.SGD(0.0),
        metrics=[keras_metrics.PrecisionAtK(1)],
    )
    history = ours.fit(
        batches,
        9,
        validation_data=batches,
        verbose=0,
        callbacks=[
            counts,
            keras.callbacks.EarlyStopping("val_loss", patience=2),
            keras.callbacks.ModelCheckpoint(tmp_path / "m.keras"),
            keras.callbacks.CSVLogger(tmp_path / "log.csv"),
            keras.callbacks.TensorBoard(tmp_path / "board"),
        ],
    )
    assert len(history.history["loss"]) == 3  # one and two that do not improve
    assert counts.epochs == [0, 1, 2] and counts.batches == 15
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4
    assert list((tmp_path / "board").rglob("events*"))
    again = keras.saving.load_model(tmp_path / "m.keras")
    x = _data()[0]
    np.testing.assert_array_equal(again.predict(x, verbose=0), ours.model(x))


@pytest.mark.parametrize("optimizer", list(optimizers.OPTIMIZERS))
def test_a_saved_model_of_keras_comes_back(tmp_path, optimizer):
    x, _, _, batches = _data()
    model = _model("mach")
    rate = schedules.WarmUpAndDecay(0.01, 10)
    model.compile(
        optimizers.create(optimizer, rate),
        loss=keras_losses.SparseSigmoidCrossEntropy(),
        metrics=_metrics()[:2],
    )
    model.fit(batches, verbose=0)
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        again.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    assert again.evaluate(batches, verbose=0) == model.evaluate(
        batches, verbose=0
    )


class _Nothing(keras.callbacks.Callback):
    """Asks for each batch, which then is a step of its own."""

    def on_train_batch_end(self, batch, logs=None):
        pass


def test_steps_told_and_untold_are_the_same():
    weights, losses = [], []
    for callbacks in ([], [_Nothing()]):
        model = _model("sigmoid")
        ours = trainer.Trainer(model, optimizer=keras.optimizers.Adam(0.01))
        batches = _data(batch_size=3)[3]  # 50 steps
        history = ours.fit(batches, 2, callbacks=callbacks, verbose=0)
        weights.append(model.get_weights())
        losses.append(history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-6)
    for first, second in zip(*weights, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("is_within", [False, True])
def test_replicas_share_batches_within_the_scope_too(is_within, mirrored):
    batches = _data("padded", True)[3]
    alone = _model("sigmoid")
    trainer.Trainer(alone, optimizer=optimizers.create("sgd", 0.1)).fit(
        batches, 2, verbose=0
    )
    with mirrored.scope():
        model = _model("sigmoid")
        optimizer = optimizers.create("sgd", 0.1)
    ours = trainer.Trainer(model, None, optimizer, mirrored)
    with mirrored.scope() if is_within else contextlib.nullcontext():
        ours.fit(batches, 2, verbose=0)
    for first, second in zip(model.weights, alone.weights, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-5)


def test_what_is_no_batch_is_refused():
    dataset = tf.data.Dataset.from_tensors(np.zeros((2, E), np.float32))
    with pytest.raises(ValueError, match="inputs, labels"):
        trainer.Trainer(_model("sigmoid")).fit(dataset)


def test_bucket_logits_without_their_head_are_refused():
    _, _, _, batches = _data()
    model = keras.Sequential(
        [
            keras.layers.Dense(8),
            HEADS["mach"](),
            keras.layers.Lambda(lambda z: z * 1.0),
        ]
    )
    with pytest.raises(ValueError, match="head=head"):
        trainer.Trainer(model).fit(batches, verbose=0)
