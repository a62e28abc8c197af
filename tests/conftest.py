"""Two logical CPU devices for every test, and the real data sets."""

import pathlib

import pytest
import tensorflow as tf

_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure():
    cpus = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )


@pytest.fixture
def real_data():
    """Returns a function from a data set's name to its folder."""

    def folder(name: str) -> pathlib.Path:
        if not (_DATA / name).is_dir():
            pytest.skip(f"{name} is not beside the project")
        return _DATA / name

    return folder


@pytest.fixture(scope="session")
def mirrored():
    """Returns the one mirrored strategy of two replicas.

    A second one in the same process would take up its collectives' numbers
    and find the shapes of the first.
    """
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
