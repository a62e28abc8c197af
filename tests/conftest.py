"""Two logical CPUs for every test, or GPUs too, and the real data sets."""

import pathlib

import pytest
import tensorflow as tf

from tfxml.run import tensorflow_start

# Files that take longest come first, so that no process is left with one.
_LONGEST = (
    "train_test",
    "extending_test",
    "export_saved_model_test",
    "export_serving_test",
    "repetition_groups_test",
    "multi_worker_test",
    "export_command_test",
    "drop_test",
    "prepare_test",
    "served_test",
)
_GPU_MEMORY = 3072  # MiB of each logical GPU, in each process of tests
_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure():
    # As commands do: most tests call none.
    tensorflow_start.turn_off_tensor_float_32()
    cpus = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpus[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    for gpu in tf.config.list_physical_devices("GPU")[:1]:
        tf.config.set_logical_device_configuration(
            gpu, [tf.config.LogicalDeviceConfiguration(_GPU_MEMORY)] * 2
        )


def pytest_collection_modifyitems(items):
    items.sort(
        key=lambda item: (
            _LONGEST.index(item.path.stem)
            if item.path.stem in _LONGEST
            else len(_LONGEST)
        )
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
