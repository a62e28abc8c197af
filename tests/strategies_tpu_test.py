"""What a TPU needs before TensorFlow."""

import os
import pathlib
import subprocess
import sys

import pytest

from strategies import strategy_errors, tpu

ROOT = pathlib.Path(__file__).resolve().parents[1]


def _python(*arguments, **environ):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, None),
        ({"TPU_NAME": ""}, None),
        # TensorFlow sets these itself, on any machine.
        ({"TPU_ML_PLATFORM": "Tensorflow"}, None),
        ({"TPU_NAME": "mine"}, "mine"),
        ({"TPU_NAME": "local"}, "local"),
        ({"TPU_ACCELERATOR_TYPE": "v5e-1"}, "local"),
    ],
)
def test_tpu_detect(environ, address):
    assert tpu.detect(environ) == address


@pytest.mark.parametrize(
    "address",
    [
        "local",
        "my-tpu-1",
        "projects/p/locations/us-central1-a/nodes/n1",
        "grpc://10.0.0.2:8470",
        "grpc://10.0.0.2:8470,grpc://10.0.0.3:8470",
    ],
)
def test_tpu_address(address):
    tpu.check_address(address)


@pytest.mark.parametrize(
    "address", ["", "10.0.0.2:8470", "grpc://10.0.0.2", "grpc://", "My TPU"]
)
def test_bad_tpu_address(address):
    with pytest.raises(strategy_errors.StrategyError, match="tpu_address"):
        tpu.check_address(address)


@pytest.mark.parametrize("accelerator", ["v5e-1", "v5litepod-8", "v6e-1"])
def test_tpu_settings(accelerator):
    environ = {
        "TPU_ACCELERATOR_TYPE": accelerator,
        "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": "/lib/libtpu.so",
        "TF_XLA_FLAGS": "--other",
    }
    found = tpu.settings(environ)
    assert found == {
        "PJRT_DEVICE": "TPU",
        "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
        "TF_XLA_FLAGS": "--other --tf_mlir_enable_mlir_bridge=true",
    }
    assert tpu.settings({**environ, **found}) == {}


def test_tpu_library_is_found_where_libtpu_is_installed(tmp_path, monkeypatch):
    (tmp_path / "libtpu").mkdir()
    (tmp_path / "libtpu" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    found = tpu.settings({"TPU_ACCELERATOR_TYPE": "v6e-1"})
    library = found["TF_PLUGGABLE_DEVICE_LIBRARY_PATH"]
    assert library == str(tmp_path / "libtpu" / "libtpu.so")


def test_other_machines_need_no_tpu_settings():
    assert tpu.settings({}) == {}
    assert tpu.settings({"TPU_ACCELERATOR_TYPE": "v3-8"}) == {}


def test_tpu_settings_come_too_late_after_tensorflow():
    environ = {
        "TPU_ACCELERATOR_TYPE": "v5e-1",
        "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": "/lib/libtpu.so",
    }
    with pytest.raises(
        strategy_errors.StrategyError, match="before TensorFlow"
    ):
        tpu.prepare(environ)
    script = "import os, strategies.tpu as t; t.prepare(); print(os.environ)"
    assert "'PJRT_DEVICE': 'TPU'" in _python("-c", script, **environ).stdout
    command = [sys.executable, "-c", "import os; print(os.environ)"]
    found = _python("-m", "strategies.tpu", "--", *command, **environ)
    assert "'PJRT_DEVICE': 'TPU'" in found.stdout


def test_local_tpu_needs_its_own_tensorflow():
    with pytest.raises(
        strategy_errors.StrategyError, match="tensorflow-tpu==2.19.1"
    ):
        tpu.check_local({})
