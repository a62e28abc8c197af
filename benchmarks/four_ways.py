"""Trains one recipe four ways and compares precision and time.

    python benchmarks/four_ways.py --data=data [--sets=bibtex,delicious]

The command, `XMLClassifier`, `Trainer` and Keras' own `fit` train with the
settings of `configs/<set>_sigmoid.cfg`, each in a process of its own, and the
time is that of the whole process: on the clock, and of the processors, which
other programs of the machine disturb less. Prints a Markdown table: medians of
`--repeats` runs.
"""

import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

from absl import app, flags

ROOT = pathlib.Path(__file__).resolve().parents[1]
WAYS = ("command", "estimator", "trainer", "keras")
FLAGS = flags.FLAGS


def read(path):
    """Returns a file of the Extreme Classification Repository as X and Y."""
    import io

    from sklearn import datasets

    header, _, body = path.read_bytes().partition(b"\n")
    X, Y = datasets.load_svmlight_file(
        io.BytesIO(body),
        n_features=int(header.split()[1]),
        multilabel=True,
        zero_based=True,
    )
    return X, [[int(label) for label in row] for row in Y], header.split()[2]


def recipe_of(name):
    """Returns the settings of a recipe, by their names."""
    lines = (ROOT / "configs" / f"{name}_sigmoid.cfg").read_text().splitlines()
    settings = [line[2:].split("=") for line in lines if line.startswith("--")]
    return dict(settings)


def precisions(top_ids, sets):
    """Returns P@1, P@3 and P@5 in percent."""
    hits = [
        [label in labels for label in row]
        for row, labels in zip(top_ids.tolist(), sets, strict=True)
    ]
    return [
        100 * sum(sum(row[:k]) for row in hits) / (k * len(hits))
        for k in (1, 3, 5)
    ]


def estimator(folder, recipe):
    """Trains and predicts with the estimator."""
    import tfxml

    X, Y, num_labels = read(folder / "train.txt")
    X_test, Y_test, _ = read(folder / "test.txt")
    model = tfxml.XMLClassifier(
        hidden_units=(int(recipe["hidden_units"]),),
        num_epochs=int(recipe["num_epochs"]),
        batch_size=int(recipe["batch_size"]),
        learning_rate=float(recipe["learning_rate"]),
        dropout=float(recipe["dropout"]),
    )
    model.fit(X, Y)
    return precisions(model.predict(X_test, k=5), Y_test)


def _keras_parts(folder, recipe):
    """Returns a model of Keras, its optimizer, batches, and test labels."""
    import keras

    import tfxml

    X, Y, num_labels = read(folder / "train.txt")
    X_test, Y_test, _ = read(folder / "test.txt")
    batch_size, epochs = int(recipe["batch_size"]), int(recipe["num_epochs"])
    names = range(int(num_labels))
    train = tfxml.data.from_csr(X, Y, batch_size, label_names=names)
    test = tfxml.data.from_csr(
        X_test, Y_test, 1024, label_names=names, shuffle=False
    )
    model = keras.Sequential(
        [
            tfxml.encoders.BagEncoder(
                X.shape[1],
                (int(recipe["hidden_units"]),),
                dropout=float(recipe["dropout"]),
            ),
            tfxml.heads.SigmoidHead(
                len(names), label_priors=tfxml.data.label_priors(Y, names)
            ),
        ]
    )
    rate = tfxml.optimizers.WarmUpAndDecay(
        float(recipe["learning_rate"]), epochs * int(train.cardinality())
    )
    optimizer = tfxml.optimizers.LazyAdam(rate, epsilon=1e-6)
    return model, optimizer, train, test, Y_test, epochs


def trainer(folder, recipe):
    """Trains and predicts with `Trainer`."""
    import tfxml

    model, optimizer, train, test, Y_test, epochs = _keras_parts(folder, recipe)
    loop = tfxml.Trainer(model, optimizer=optimizer)
    loop.fit(train, epochs, verbose=0)
    return precisions(loop.predict(test, k=5)[1], Y_test)


def keras(folder, recipe):
    """Trains and evaluates with Keras' own loop."""
    import tfxml

    model, optimizer, train, test, _, epochs = _keras_parts(folder, recipe)
    loss = tfxml.losses.SparseSigmoidCrossEntropy()
    model.compile(optimizer, loss, steps_per_execution=32)
    model.fit(train, epochs=epochs, verbose=0)
    metrics = [tfxml.metrics.PrecisionAtK(k) for k in (1, 3, 5)]
    model.compile(optimizer, loss, metrics=metrics)
    values = model.evaluate(test, verbose=0, return_dict=True)
    return [100 * values[f"P@{k}"] for k in (1, 3, 5)]


def run(way, folder, name):
    """Returns P@1, P@3, P@5 and a process' seconds: clock, processors."""
    words = [sys.executable, __file__, f"--way={way}", f"--data={folder}"]
    with tempfile.TemporaryDirectory() as workdir:
        if way == "command":
            words = [
                *[sys.executable, "-m", "tfxml.train", f"--data_dir={folder}"],
                f"--flagfile={ROOT / 'configs' / name}_sigmoid.cfg",
                f"--workdir={workdir}/run",
            ]
        start, worked = time.perf_counter(), _worked()
        done = subprocess.run(
            words, cwd=ROOT, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - start, _worked() - worked
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return _values(done.stdout.splitlines()), seconds


def _worked():
    """Returns the processor seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _values(lines):
    """Returns P@1, P@3 and P@5 from the output of a way."""
    if lines[-1].startswith("["):
        return json.loads(lines[-1])
    rows = [line.split() for line in lines]
    header = next(n for n, row in enumerate(rows) if row[:1] == ["P@1"])
    values = dict(zip(rows[header], rows[header + 1], strict=True))
    return [float(values[f"P@{k}"]) for k in (1, 3, 5)]


def main(arguments):
    folder = pathlib.Path(FLAGS.data).resolve()
    if FLAGS.way:
        function = {"estimator": estimator, "trainer": trainer, "keras": keras}
        print(json.dumps(function[FLAGS.way](folder, recipe_of(folder.name))))
        return
    print(
        "| set | way | P@1 | P@3 | P@5 | seconds | of the command's "
        "| processor seconds | of the command's |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    )
    for name in FLAGS.sets:
        times: dict[str, list] = {way: [] for way in FLAGS.ways}
        values = {}
        for _ in range(FLAGS.repeats):  # ways in turn: a machine has moods
            for way in FLAGS.ways:
                values[way], seconds = run(way, folder / name, name)
                times[way].append(seconds)
        medians = {
            way: [statistics.median(of) for of in zip(*pairs, strict=True)]
            for way, pairs in times.items()
        }
        for way in FLAGS.ways:
            cells = [f"{value:.2f}" for value in values[way]]
            for mine, first in zip(
                medians[way], medians[FLAGS.ways[0]], strict=True
            ):
                cells += [f"{mine:.1f}", f"{mine / first:.2f}"]
            print(f"| {name} | {way} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    flags.DEFINE_string("data", "data", "The folder of the data sets.")
    flags.DEFINE_list("sets", ["bibtex", "delicious"], "Which sets.")
    flags.DEFINE_list("ways", list(WAYS), "Which ways; the first is compared.")
    flags.DEFINE_integer("repeats", 3, "Runs of each way.")
    flags.DEFINE_string("way", "", "The way to run in this process.")
    app.run(main)
