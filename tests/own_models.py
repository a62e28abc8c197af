"""Models of Keras that a user could make, trained under one strategy.

    python -m tests.own_models STRATEGY OUT.npz MODEL ...

trains models with `Trainer` and writes their weights and their metrics.

    python -m tests.own_models STRATEGY keras_fit built|unbuilt

tells what comes of Keras' own `fit`.
"""

import pathlib
import sys
import warnings

import keras
import numpy as np
import scipy.sparse
import tensorflow as tf

import strategies
import tfxml

N, D, E, L = 151, 30, 6, 20  # a last batch of an odd size
BATCH_SIZE, EPOCHS = 32, 2
HEADS = {
    "sigmoid": lambda: tfxml.heads.SigmoidHead(L, block_size=12),
    "mach": lambda: tfxml.heads.MachHead(L, num_repetitions=3, num_buckets=7),
}


def _case():
    """Returns sparse rows, dense rows beside them, and label sets."""
    rng = np.random.default_rng(0)
    X = rng.random((N, D)) * (rng.random((N, D)) < 0.15)
    X[0] = 0
    side = rng.normal(size=(N, E)).astype(np.float32)
    best = np.argsort(-(X @ rng.normal(size=(D, L)) + side @ np.ones((E, 1))))
    sets = [row[: rng.integers(0, 4)].tolist() for row in best]
    return scipy.sparse.csr_matrix(X), side, sets


def batches(shuffle=True):
    """Returns batches of padded bags with dense features beside them."""
    X, side, sets = _case()
    return tfxml.data.from_csr(
        X,
        sets,
        BATCH_SIZE,
        weights=np.linspace(0.5, 1.5, N),
        beside={"side": side},
        shuffle=shuffle,
        padded=True,
    )


def dense(dataset):
    """Returns batches of their dense features alone."""
    return dataset.map(lambda inputs, *rest: (inputs["side"], *rest))


def sequential(head):
    """Returns a model of dense rows."""
    layers = [keras.Input((E,)), keras.layers.Dense(8, "relu")]
    return keras.Sequential([*layers, keras.layers.Dense(8), HEADS[head]()])


def two_inputs(head):
    """Returns a model of a bag of features and dense ones beside it."""
    spec = batches().element_spec[0]
    inputs = {
        name: keras.Input(
            spec[name].shape[1:], dtype=spec[name].dtype.name, name=name
        )
        for name in spec
    }
    bag = tfxml.encoders.BagEncoder(D, (8,))(
        {name: inputs[name] for name in ("feature_ids", "feature_values")}
    )
    both = keras.layers.Concatenate()([bag, inputs["side"]])
    return keras.Model(inputs, HEADS[head]()(both))


def alone(head):
    """Returns a model of which each row trains weights of its own."""
    frozen = HEADS[head]()
    frozen.trainable = False
    table = keras.layers.Embedding(N, 4)
    row = keras.Input((), dtype="int32")
    return keras.Model(row, frozen(table(row)))


MODELS = {"sequential": sequential, "two_inputs": two_inputs, "alone": alone}
OPTIMIZERS = {
    "sequential": lambda: tfxml.optimizers.SGD(0.1, momentum=0.5),
    "two_inputs": lambda: keras.optimizers.Adam(0.02),
    "alone": lambda: keras.optimizers.SGD(0.1),
}
CASES = [(model, head) for model in MODELS for head in HEADS]


def trained(model, head, strategy):
    """Returns a model's weights and metrics, after training it."""
    keras.utils.set_random_seed(0)
    with strategy.scope():
        made = MODELS[model](head)
        optimizer = OPTIMIZERS[model]()
    metrics = [tfxml.metrics.PrecisionAtK(1), tfxml.metrics.NDCGAtK(3)]
    trainer = tfxml.Trainer(made, None, optimizer, strategy, metrics)
    dataset = batches()
    if model == "sequential":
        dataset = dense(dataset)
    if model == "alone":
        dataset = _numbered(dataset)
    history = trainer.fit(
        dataset, EPOCHS, validation_data=dataset, verbose=0
    ).history
    weights = {
        str(number): np.asarray(weight)
        for number, weight in enumerate(made.weights)
    }
    return weights | {key: np.array(v) for key, v in history.items()}


def _numbered(dataset):
    """Returns each row's number in place of its inputs."""
    X, side, _ = _case()

    def number(inputs, *rest):
        same = tf.reduce_all(
            tf.equal(inputs["side"][:, None], side[None]), axis=2
        )
        return tf.argmax(same, axis=1, output_type=tf.int32), *rest

    return dataset.map(number)


def told_by_keras_fit(strategy, is_built):
    """Returns what Keras' own `fit` says of a model: warnings and error."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            with strategy.scope():
                if is_built:
                    model = sequential("sigmoid")
                else:
                    model = keras.Sequential([HEADS["sigmoid"]()])
                loss = tfxml.losses.SparseSigmoidCrossEntropy()
                model.compile(keras.optimizers.SGD(0.1), loss)
            model.fit(dense(batches()), verbose=0)
        except Exception as error:  # noqa: BLE001 - Keras' kind is its own
            return [str(one.message) for one in told], str(error)
    return [str(one.message) for one in told], None


def main(name, output, *models):
    task = strategies.cluster.from_environment()
    if task is not None and task.is_server:
        sys.exit(strategies.serve(task))
    if task is None and name in ("mirrored", "central_storage"):
        strategies.logical_cpus(2)
    strategy = strategies.create(name)
    print(strategies.describe(strategy), flush=True)
    if output == "keras_fit":
        told, error = told_by_keras_fit(strategy, models == ("built",))
        words = [one for one in told if "`tfxml.Trainer(" in one]
        print(f"fit: {error is None=} {words[:1]}", flush=True)
        return
    found = {
        f"{model}/{head}/{key}": value
        for model in models
        for head in HEADS
        for key, value in trained(model, head, strategy).items()
    }
    if task is None or task.is_chief:
        np.savez(pathlib.Path(output), **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
