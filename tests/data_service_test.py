"""Batches from a tf.data service: the same in each epoch, made elsewhere."""

import collections
import subprocess

import pytest
import runs
import tensorflow as tf

from tfxml import config as config_lib
from tfxml import prepare, serve_data
from tfxml.data.feeding import batching, pipeline, service_batches
from tfxml.run import datasets, train_and_evaluate

N, D, L = 150, 30, 6
CONFIG = config_lib.Config(
    hidden_units=(8,), batch_size=16, num_epochs=2, steps_per_loop=4
)


@pytest.fixture(scope="module")
def service():
    """A dispatcher and two workers, each a process of its own."""
    processes = []

    def start(*flags):
        words = runs.command("tfxml.serve_data", *flags)
        processes.append(
            subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        )
        return processes[-1]

    dispatcher = start("--port=0").stdout.readline().split()[-1]
    workers = [start(f"--dispatcher={dispatcher}") for _ in range(2)]
    for worker in workers:
        assert worker.stdout.readline().split()[-1] == dispatcher
    yield dispatcher
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    data = path / "data"
    data.mkdir()
    for name in ("train", "test"):
        lines = [f"{N} {D} {L}"]
        lines += [f"{i % L} {i % D}:1 {i % 7 + 20}:0.5" for i in range(N)]
        (data / f"{name}.txt").write_text("\n".join(lines) + "\n")
    prepare.prepare(CONFIG, str(data), str(path / "out"), num_shards=3)
    return str(path / "out")


def _contents(batch):
    return (
        tuple(batch.instances.numpy().tolist()),
        *(str(rows.to_list()) for rows in batch.inputs.values()),
        str(batch.label_ids.to_list()),
    )


@pytest.mark.parametrize(
    "num_workers",
    [
        pytest.param(1, marks=pytest.mark.slow),
        2,
        pytest.param(3, marks=pytest.mark.slow),
    ],
)
def test_an_epoch_holds_the_same_batches(service, prepared, num_workers):
    data = datasets.training_data(CONFIG, prepared, data_service=service)
    here = datasets.training_data(CONFIG, prepared)
    cut = batching.ByInstances(N, 16)
    steps_per_epoch = cut.steps_per_epoch
    for epoch in range(2):
        steps = epoch * steps_per_epoch, (epoch + 1) * steps_per_epoch
        instances = collections.Counter()
        for worker in range(num_workers):
            shard = pipeline.Shard(num_workers, worker, 1)
            words = cut, 3, *steps, shard
            found = service_batches.through(
                pipeline.training_epoch(data.train, *words), data.service
            )
            expected = pipeline.training(here.train, *words)
            found = sorted(map(_contents, found))
            assert found == sorted(map(_contents, expected))
            instances.update(i for batch in found for i in batch[0])
        assert instances == dict.fromkeys(range(N), 1)


def test_an_epoch_goes_on_at_a_step(prepared):
    """In order where no service changes it."""
    data = datasets.training_data(CONFIG, prepared)
    cut = batching.ByInstances(N, 16)
    words = data.train, cut, 3, 14, 20
    found, expected = (
        [_contents(batch) for batch in make(*words)]
        for make in (pipeline.training_epoch, pipeline.training)
    )
    assert len(found) == 6 and found == expected


@pytest.mark.parametrize(
    "strategy",
    [
        pytest.param("default", marks=pytest.mark.slow),
        pytest.param("mirrored", marks=pytest.mark.slow),
    ],
)
def test_training_takes_its_batches_from_the_service(
    service, prepared, tmp_path, strategy
):
    words = [
        *["--hidden_units=8", "--batch_size=16", "--num_epochs=2"],
        *[f"--data_dir={prepared}", f"--strategy={strategy}"],
        *["--logical_cpus=2"] * (strategy == "mirrored"),
        *[f"--data_service={service}", f"--workdir={tmp_path}"],
    ]
    runs.run(runs.command("tfxml.train", *words))
    last = runs.entries(tmp_path)[-1]
    assert (last["epoch"], last["step"]) == (2, 20)


@pytest.mark.slow
def test_generated_data_may_be_served():
    config = config_lib.Config(synthetic_train=100, synthetic_labels=40)
    dispatcher = serve_data.start(0)
    worker = serve_data.start(0, dispatcher.target)
    data = datasets.training_data(config, "", data_service=dispatcher.target)
    cut = batching.ByInstances(100, 16)
    found = service_batches.through(
        pipeline.training_epoch(data.train, cut, 0, 0, 7), dispatcher.target
    )
    ids = [i for batch in found for i in batch.instances.numpy().tolist()]
    assert sorted(ids) == list(range(100))
    del worker


def test_a_lost_batch_ends_training_with_a_word(tmp_path, monkeypatch):
    """As where a worker of the service dies: what it had taken is gone."""
    dispatcher = serve_data.start(0)
    worker = serve_data.start(0, dispatcher.target)
    through = service_batches.through
    monkeypatch.setattr(
        service_batches,
        "through",
        lambda data, where: through(data.skip(1), where),
    )
    config = config_lib.Config(synthetic_train=100, synthetic_labels=40)
    with pytest.raises(RuntimeError, match="resume from the last checkpoint"):
        train_and_evaluate.train(
            config, str(tmp_path), data_service=dispatcher.target
        )
    del worker


@pytest.mark.parametrize("address", ["localhost:50", "grpc://localhost", "x"])
def test_addresses_are_checked(address):
    with pytest.raises(ValueError, match="`data_service` must be a disp"):
        datasets.training_data(CONFIG, "", data_service=address)


def test_rows_in_memory_are_refused(tmp_path):
    (tmp_path / "train.txt").write_text("1 3 4\n0 1:1\n")
    (tmp_path / "test.txt").write_text("1 3 4\n0 1:1\n")
    with pytest.raises(ValueError, match="prepared data"):
        datasets.training_data(
            CONFIG, str(tmp_path), data_service="grpc://localhost:50"
        )


def test_parameter_servers_are_refused():
    strategy = object.__new__(tf.distribute.ParameterServerStrategy)
    with pytest.raises(ValueError, match="without parameter servers"):
        datasets.training_data(
            CONFIG, "", strategy, data_service="grpc://localhost:50"
        )
