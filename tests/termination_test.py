"""SIGTERM and Ctrl-C as notice."""

import os
import signal

import pytest
import tensorflow as tf

from tfxml import config as config_lib
from tfxml.run import outcome, termination, train_and_evaluate, workdir
from tfxml.run import run as run_lib

CONFIG = config_lib.Config(
    hidden_units=(),
    synthetic_labels=20,
    synthetic_train=60,
    synthetic_test=30,
    batch_size=16,
    num_epochs=2,
    steps_per_loop=1,
)


@pytest.mark.parametrize(
    ("signum", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
    ],
)
def test_training_that_is_told_saves_and_resumes(
    signum, code, tmp_path, monkeypatch, capfd
):
    wanted = train_and_evaluate.train(CONFIG, str(tmp_path / "whole"))
    loop_step = run_lib.Run.train_epoch

    def told(run, progress, after):
        os.kill(os.getpid(), signum)
        return loop_step(run, progress, after)

    with monkeypatch.context() as patch:
        patch.setattr(run_lib.Run, "train_epoch", told)
        with pytest.raises(SystemExit) as ended:
            train_and_evaluate.train(CONFIG, str(tmp_path / "run"))
    assert ended.value.code == code
    output, errors = capfd.readouterr()
    assert "told to end: saved at step 1; the same command res" in output
    assert ("saves and ends" in errors) == (signum == signal.SIGINT)
    # What evaluates it says so, and how it comes to its end.
    run = workdir.Workdir(tmp_path / "run")
    note = outcome.unfinished(run)
    assert f"0 of {CONFIG.num_epochs} epochs evaluated" in note
    assert f"python -m tfxml.train --flagfile={run.path}/flags.cfg" in note
    assert train_and_evaluate.train(CONFIG, str(tmp_path / "run")) == wanted
    assert outcome.unfinished(run) == ""
    assert "resumes   at step 1" in capfd.readouterr().out


def test_a_second_interrupt_ends_at_once():
    before = signal.getsignal(signal.SIGINT)
    with termination.Notice(tf.distribute.get_strategy()) as notice:
        assert not notice.came()
        os.kill(os.getpid(), signal.SIGINT)
        assert notice.came() and notice.exit_code == 130
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == before


def test_an_interrupt_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with termination.Notice(tf.distribute.get_strategy()) as notice:
            os.kill(os.getpid(), signal.SIGINT)
            assert not notice.came()
    finally:
        signal.signal(signal.SIGINT, before)
