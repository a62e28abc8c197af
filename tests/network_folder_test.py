"""Data on a server that stalls, fails or goes away, for a run that reads them.

`python -m pytest -m slow tests/network_folder_test.py`; it mounts a folder, for
which it needs the right to.
"""

import errno
import os
import signal
import time

import faults_test
import network_folder
import pytest
import runs

from tfxml import config, prepare

pytestmark = pytest.mark.slow

RECIPE = [
    "--hidden_units=4",
    "--batch_size=16",
    "--num_epochs=4",
    "--steps_per_loop=1",
    "--dropout=0",
]
LAST = "epoch 4:"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Returns the same data twice: as text, and prepared."""
    base = tmp_path_factory.mktemp("data")
    rows = "".join(f"{i % 5} {i % 7}:1\n" for i in range(256))
    for split in ("train", "test"):
        (base / "text").mkdir(exist_ok=True)
        (base / "text" / f"{split}.txt").write_text(f"256 7 5\n{rows}")
    prepare.prepare(config.Config(), str(base / "text"), str(base / "records"))
    return {name: base / name for name in ("text", "records")}


@pytest.fixture
def server(request, folders, tmp_path):
    """Returns the process that serves the data of a test's `kind`."""
    if os.geteuid() or not os.path.exists("/dev/fuse"):
        pytest.skip("a server of files needs the right to mount")
    source = folders[request.getfixturevalue("kind")]
    with network_folder.mounted(source, tmp_path / "net") as process:
        yield process


def _train(data_dir, workdir):
    words = [f"--data_dir={data_dir}", f"--workdir={workdir}"]
    return faults_test.Running(*runs.command("tfxml.train", *RECIPE, *words))


@pytest.mark.parametrize("kind", ["text", "records"])
def test_a_stall_is_waited_for(kind, server, folders, tmp_path):
    """At its start, or in the middle: the run ends as if there were none."""
    running = _train(tmp_path / "net", tmp_path / "run")
    running.wait_for("reading" if kind == "text" else "epoch 1:")
    server.send_signal(signal.SIGSTOP)
    if kind == "records":
        faults_test._wait_until_idle([running.process.pid])
        assert LAST not in running.text
    time.sleep(3)
    server.send_signal(signal.SIGCONT)
    assert running.end() == 0, running.text[-3000:]
    whole = _train(folders[kind], tmp_path / "whole")
    assert whole.end() == 0, whole.text[-3000:]
    runs.assert_near(
        runs.tensors(tmp_path / "run"), runs.tensors(tmp_path / "whole")
    )


@pytest.mark.parametrize(
    ("end", "causes"),
    [
        (signal.SIGUSR1, [errno.EIO]),
        # The second for a read that was under way.
        (signal.SIGKILL, [errno.ENOTCONN, errno.ECONNABORTED]),
    ],
)
@pytest.mark.parametrize("kind", ["text", "records"])
def test_a_failure_is_named(kind, end, causes, server, folders, tmp_path):
    """The run ends with the file, and resumes when the data are back."""
    if kind == "text":
        server.send_signal(end)
    running = _train(tmp_path / "net", tmp_path / "run")
    if kind == "records":
        running.wait_for("epoch 1:")
        server.send_signal(end)
    assert running.end() == 1, running.text[-3000:]
    assert "FATAL " in running.text, running.text[-3000:]
    last = running.text[running.text.index("FATAL ") :]
    assert "\n" not in last and "Traceback" not in running.text
    assert str(tmp_path / "net") in last
    assert any(os.strerror(cause) in last for cause in causes), last
    if kind == "records":
        again = _train(folders[kind], tmp_path / "run")
        assert again.end() == 0, again.text[-3000:]
        assert "resumes   at step" in again.text
