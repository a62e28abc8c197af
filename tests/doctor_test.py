"""The doctor: what is wrong is found, and said with what mends it."""

import json
import socket

import pytest
import runs

from tfxml.run import health, machine_checks


def _levels(found):
    return {finding.name: finding.level for finding in found}


def test_a_machine_that_runs_the_tests_has_no_problem(tmp_path):
    found = health.without_tensorflow(str(tmp_path / "a" / "b"))
    assert machine_checks.PROBLEM not in _levels(found).values()
    assert {"python", "tensorflow", "threads", "workdir"} <= set(_levels(found))


@pytest.mark.parametrize(
    ("name", "value", "wrong", "level", "mend"),
    [
        ("KERAS_BACKEND", "jax", "keras backend", "problem", "unset KERAS_B"),
        ("OMP_NUM_THREADS", "0", "threads", "warning", "unset OMP_NUM_THREADS"),
        ("TF_CONFIG", "{", "TF_CONFIG", "problem", "correct it, or unset"),
        ("NUMBA_CACHE_DIR", "/dev/null", "compiled loops", "problem", "minute"),
    ],
)
def test_what_the_environment_has_wrong(
    name, value, wrong, level, mend, monkeypatch, tmp_path
):
    monkeypatch.setenv(name, value)
    found = {x.name: x for x in health.without_tensorflow(str(tmp_path))}
    assert found[wrong].level == level
    assert mend in found[wrong].mend
    assert found[wrong].text().startswith(f"{level:<9} {wrong}: ")
    assert "see the lines above" in health.verdict(list(found.values()))


def test_a_port_that_is_taken(monkeypatch, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        tasks = {"worker": [f"127.0.0.1:{port}", "127.0.0.1:9"]}
        task = {"cluster": tasks, "task": {"type": "worker", "index": 0}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(task))
        found = {x.name: x for x in health.without_tensorflow(str(tmp_path))}
    assert found["TF_CONFIG"].found == "worker:0 of 2 workers"
    assert found["port"].level == machine_checks.PROBLEM
    assert str(port) in found["port"].found


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    found = health.without_tensorflow(str(tmp_path / "file" / "run"))
    assert _levels(found)["workdir"] == machine_checks.PROBLEM


def test_the_smoke_run_trains_and_predicts(capsys):
    found = list(health.with_tensorflow(is_smoke=True))
    assert _levels(found) == {
        "devices": machine_checks.OK,
        "memory": machine_checks.OK,
        "smoke run": machine_checks.OK,
    }
    assert "predicted 5 labels" in found[-1].found
    assert capsys.readouterr().out == ""
    assert health.verdict(found) == "all is well"


@pytest.mark.slow
def test_the_command_says_it_all(tmp_path):
    done = runs.finished(
        runs.command("tfxml.doctor", f"--workdir={tmp_path}", "--nosmoke")
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok        python: 3." in done.stdout
    done = runs.finished(
        runs.command("tfxml.doctor", "--workdir=/dev/null", "--nosmoke")
    )
    assert done.returncode == 1
    assert "problem   workdir: /dev/null" in done.stdout
