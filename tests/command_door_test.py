"""How commands end: what users can mend is one paragraph, bugs are bugs."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
import zlib

import numpy as np
import pytest
import runs
import tensorflow as tf
from absl import app
from absl import flags as absl_flags

from strategies import strategy_errors
from tfxml.data import data_errors, files
from tfxml.run import command_door, flags, paths


def _raised(function):
    """Returns what a function raises, as a command would catch it."""
    try:
        function()
    except Exception as error:  # any, as the door does
        return error
    raise AssertionError("nothing was raised")


def _deep():
    json.loads("[" * 10**6)


def _no_error():
    raise app.UsageError("--x must be y")


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda: paths.local("s3://b", "x"), "`x` must be a path on this ma"),
        (lambda: files.decode("a", 3, b"\xff"), r"a:3: found .*UTF-8"),
        (_no_error, "--x must be y"),
        (lambda: open("/none/x"), "/none/x: No such file or directory"),
        (lambda: os.rename("/none/x", "/none/y"), "/none/x and /none/y: No"),
        (lambda: os.mkdir(b"/"), "/: File exists"),
        (lambda: os.write(99, b""), r"\[Errno 9\] Bad file descriptor"),
        (lambda: b"\xff".decode(), "UnicodeDecodeError: .*needed a whole file"),
        (lambda: json.loads("{"), "JSONDecodeError: .*needed a whole file"),
        (_deep, "RecursionError: "),
        (lambda: zlib.decompress(b"x"), "error: "),
        (lambda: zipfile.ZipFile(__file__), "BadZipFile: "),
        (lambda: np.zeros(2**50), "out of memory: Unable to allocate"),
        (lambda: tf.io.read_file("/none/x"), "/none/x; No such file"),
        (
            lambda: strategy_errors.check_at_least("workers", 0, 1),
            "workers",
        ),
    ],
)
def test_what_a_user_can_mend_is_told(function, wanted):
    text = command_door.explain(_raised(function))
    assert text is not None and "\n" not in text
    assert re.search(wanted, text), text


def test_the_file_that_was_opened_last_is_named():
    error = _raised(lambda: b"\xff".decode())
    text = command_door.explain(error, ["/data/a.json"])
    assert text.startswith("/data/a.json, which was opened last: found")
    full = OSError(errno.ENOSPC, "No space left on device")
    text = command_door.explain(full, ["/data/a.json"], ["/run/x"])
    assert text == "/run/x, which was opened last: No space left on device"
    broken = OSError(errno.EIO, "Input/output error")
    text = command_door.explain(broken, ["/data/a.json"], ["/run/x"])
    assert text == "/data/a.json, which was opened last: Input/output error"


@pytest.mark.parametrize("number", [errno.EIO, errno.ECONNABORTED])
def test_what_a_reader_raises_in_tf_data_is_told(number):
    def read(_):
        raise OSError(number, os.strerror(number), "/data/x.units")

    rows = tf.data.Dataset.range(1).map(
        lambda i: tf.numpy_function(read, [i], tf.int64)
    )
    text = command_door.explain(_raised(lambda: next(iter(rows))))
    wanted = f"[Errno {number}] {os.strerror(number)}: '/data/x.units'"
    assert text == wanted


@pytest.mark.parametrize(
    "function",
    [
        lambda: 1 / 0,
        lambda: None + 1,
        lambda: [][0],
        lambda: {}["x"],
        lambda: int("x"),
        lambda: np.zeros(3).reshape(2),
        lambda: tf.add(tf.zeros(2), tf.zeros(3)),
        # Inside our own code, and yet not said by it.
        lambda: data_errors.RowError(),
        lambda: files.excerpt(None),
        lambda: files.decode("a", 3, None),
    ],
)
def test_what_a_user_cannot_mend_is_a_bug(function):
    assert command_door.explain(_raised(function)) is None


_COMMAND = """
import sys, time
from tfxml.run import command_door
def main():
    {}
command_door.run(main)
"""


def _start(body):
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND.format(body)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("body", "code", "wanted"),
    [
        ("open('/none/x')", 1, "FATAL /none/x: No such file or directory"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("pass", 0, ""),
        ("sys.exit(7)", 7, ""),
    ],
)
def test_a_command_ends(body, code, wanted):
    process = _start(body)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert wanted in errors
    assert ("Traceback" in errors) == ("ZeroDivision" in wanted)
    assert ("This is a bug of tfxml" in errors) == ("ZeroDivision" in wanted)


@pytest.mark.parametrize(
    ("body", "redirection", "code", "wanted"),
    [
        ("print(1)", ">&-", 0, ""),
        ("print(1, file=sys.stderr)", "2>&-", 0, ""),
        ("open('/none/x')", ">&- <&-", 1, "FATAL /none/x: No such file"),
        ("print(1)", ">/dev/full", 1, "FATAL standard output: No space left"),
        (
            "print('x' * 99999, flush=True)",
            ">/dev/full",
            1,
            "FATAL standard output: No space left",
        ),
    ],
)
def test_standard_output_that_is_closed_or_full(
    body, redirection, code, wanted
):
    command = [sys.executable, "-c", _COMMAND.format(body)]
    done = subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *command],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    assert done.returncode == code
    assert done.stderr.startswith(wanted) and "Traceback" not in done.stderr


@pytest.mark.parametrize("redirection", [">&- 2>&-", "<&- >&-"])
def test_no_file_takes_the_place_of_what_was_closed(redirection, tmp_path):
    """Else what libraries print ends in it."""
    path = tmp_path / "x"
    body = (
        f"file = open({str(path)!r}, 'w'); file.write('mine'); file.flush()\n"
        "    import os; [os.write(number, b'other') for number in (1, 2)]"
    )
    command = [sys.executable, "-c", _COMMAND.format(body)]
    subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", *command],
        stderr=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    assert path.read_text() == "mine"


def test_an_interrupt_ends_quietly():
    process = _start("print('up', flush=True); time.sleep(60)")
    assert process.stdout.readline() == "up\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.splitlines()[-1]) == (130, "interrupted")
    assert "Traceback" not in errors


def test_a_reader_that_goes_away_ends_quietly():
    process = _start("[print('x' * 99) for _ in range(10**5)]")
    process.stdout.readline()
    process.stdout.close()
    deadline = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process.returncode == 141
    assert process.stderr.read() == ""


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_flag_that_is_not_finite_is_refused(value):
    values = absl_flags.FlagValues()
    absl_flags.DEFINE_float("rate", 1.0, "", flag_values=values)
    absl_flags.DEFINE_float("other", None, "", flag_values=values)
    values(["x", "--rate=2"])
    flags.check_numbers([values["rate"], values["other"]])
    values(["x", f"--rate={value}"])
    with pytest.raises(absl_flags.Error, match="--rate must be a finite"):
        flags.check_numbers([values["other"], values["rate"]])


@pytest.mark.parametrize("value", [10**30, -(10**30), 2**63])
def test_a_flag_beyond_64_bits_is_refused(value):
    values = absl_flags.FlagValues()
    absl_flags.DEFINE_integer("size", 1, "", flag_values=values)
    values(["x", f"--size={2**63 - 1}"])
    flags.check_numbers([values["size"]])
    values(["x", f"--size={value}"])
    with pytest.raises(absl_flags.Error, match="--size must be between"):
        flags.check_numbers([values["size"]])


@pytest.mark.parametrize("module", ["predict", "evaluate", "export", "drop"])
@pytest.mark.slow
def test_commands_go_through_the_door(module, tmp_path):
    words = {
        "export": ["--format=keras", f"--output={tmp_path / 'x'}"],
        "drop": [f"--ids={tmp_path / 'none'}", f"--output={tmp_path / 'x'}"],
    }.get(module, [])
    words = runs.command(f"tfxml.{module}", f"--workdir={tmp_path}", *words)
    done = runs.finished(words)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "FATAL" in done.stderr and str(tmp_path) in done.stderr
