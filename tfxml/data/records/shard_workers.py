"""Processes that make shards, each task by whichever is free."""

from __future__ import annotations

import dataclasses
import multiprocessing
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import connection, context

import tensorflow as tf

from tfxml.data import data_errors
from tfxml.data.records import shards
from tfxml.data.text import text_features as text_features_lib


def make_all(
    job: shards.Job,
    features_folder: str | None,
    tasks: Sequence[shards.Task],
    num_workers: int,
    progress: Callable[[int], None],
) -> None:
    """Makes shards; one worker is this process.

    Args:
        job: without text features: each process loads its own.
        features_folder: where they lie; None where the data is no text.
        tasks: the shards to make.
        num_workers: processes.
        progress: is told of rows as they are written.

    Raises:
        DataError: what a worker's reader found.
    """
    if num_workers == 1 or len(tasks) <= 1:
        job = _with_features(job, features_folder)
        for task in tasks:
            shards.make(job, task, progress)
        return
    # Forked processes would share TensorFlow's threads, which are not there.
    spawning = multiprocessing.get_context("spawn")
    processes = []
    try:
        for _ in range(min(num_workers, len(tasks))):
            ours, theirs = spawning.Pipe()
            process = spawning.Process(
                target=_work, args=(theirs, job, features_folder), daemon=True
            )
            process.start()
            theirs.close()
            processes.append((process, ours))
        _hand_out(tasks, processes, progress)
    finally:
        for process, ours in processes:
            ours.close()
            process.terminate()
            process.join()


def _hand_out(
    tasks: Sequence[shards.Task],
    processes: Sequence[tuple[context.SpawnProcess, connection.Connection]],
    progress: Callable[[int], None],
) -> None:
    waiting = list(reversed(tasks))
    left = len(tasks)
    by_pipe = {ours: process for process, ours in processes}
    while left:
        ready = connection.wait(list(by_pipe))
        for ours in [pipe for pipe in by_pipe if pipe in ready]:
            try:
                kind, value = ours.recv()
            except EOFError as error:
                process = by_pipe[ours]
                process.join()
                raise OSError(
                    f"a worker ended with exit code {process.exitcode}; rerun "
                    "the same command to resume from the shards that are whole"
                ) from error
            if kind == "rows":
                progress(value)
            elif kind == "failed":
                raise _error_of(value)
            else:
                left -= kind == "made"
                if waiting:
                    ours.send(waiting.pop())


def _work(
    pipe: connection.Connection, job: shards.Job, features_folder: str | None
) -> None:
    """Makes shards until the pipe is closed, which the parent's end does."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    try:
        job = _with_features(job, features_folder)
        pipe.send(("ready", None))
        while True:
            shards.make(job, pipe.recv(), lambda rows: _tell(pipe, rows))
            pipe.send(("made", None))
    except (EOFError, BrokenPipeError):
        return
    except data_errors.DataError as error:
        words = (error.path, error.found, error.needed, error.line)
        pipe.send(("failed", words))
    except Exception:  # it is told, whatever it is, where it can be seen
        pipe.send(("failed", traceback.format_exc()))


def _tell(pipe: connection.Connection, rows: int) -> None:
    pipe.send(("rows", rows))


def _error_of(value: tuple | str) -> Exception:
    if isinstance(value, tuple):
        return data_errors.DataError(*value)
    return RuntimeError(f"a worker failed:\n{value}")


def _with_features(job: shards.Job, folder: str | None) -> shards.Job:
    if folder is None:
        return job
    return dataclasses.replace(job, features=text_features_lib.load(folder))
