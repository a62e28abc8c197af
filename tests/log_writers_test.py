"""Where logs go may refuse: it is told, with the kind of log."""

import pytest

from tfxml import config
from tfxml.run import command_door, log_writers

pytestmark = pytest.mark.slow


def _told(write):
    with pytest.raises(OSError) as raised:
        write()
    return command_door.explain(raised.value)


def test_a_folder_that_is_a_file_is_named(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "tensorboard").write_text("x")
    kinds = ("tensorboard",)
    text = _told(lambda: log_writers.LogWriters(kinds, tmp_path))
    assert text.startswith("--log_to=tensorboard: ")


@pytest.mark.parametrize(
    "store", ["http://127.0.0.1:1", "bad://x", "file:///proc/x"]
)
def test_a_store_that_refuses_is_named(store, tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    logs = log_writers.LogWriters(("mlflow",), tmp_path)
    text = _told(lambda: logs.begin(config.Config(), None))
    assert text.startswith("--log_to=mlflow: ")
