"""Makes shards in processes; a free process takes the next shard."""

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
    """Makes shards; with one worker, in this process.

    Args:
        job: without text features: each process loads its own.
        features_folder: the folder of the text features; None if the data is
            not text.
        tasks: the shards to make.
        num_workers: processes.
        progress: called with the number of rows that were written.

    Raises:
        DataError: that a worker's reader raised.
    """
    if num_workers == 1 or len(tasks) <= 1:
        job = _with_features(job, features_folder)
        for task in tasks:
            shards.make(job, task, progress)
        return
    # Forked processes would expect TensorFlow's threads, which are not copied.
    spawn_context = multiprocessing.get_context("spawn")
    processes = []
    try:
        for _ in range(min(num_workers, len(tasks))):
            parent_end, child_end = spawn_context.Pipe()
            process = spawn_context.Process(
                target=_work,
                args=(child_end, job, features_folder),
                daemon=True,
            )
            process.start()
            child_end.close()
            processes.append((process, parent_end))
        _distribute_tasks(tasks, processes, progress)
    finally:
        for process, parent_end in processes:
            parent_end.close()
            process.terminate()
            process.join()


def _distribute_tasks(
    tasks: Sequence[shards.Task],
    processes: Sequence[tuple[context.SpawnProcess, connection.Connection]],
    progress: Callable[[int], None],
) -> None:
    waiting = list(reversed(tasks))
    num_left = len(tasks)
    process_of = {parent_end: process for process, parent_end in processes}
    while num_left:
        ready = connection.wait(list(process_of))
        for parent_end in [pipe for pipe in process_of if pipe in ready]:
            try:
                kind, value = parent_end.recv()
            except EOFError as error:
                process = process_of[parent_end]
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
                num_left -= kind == "made"
                if waiting:
                    parent_end.send(waiting.pop())


def _work(
    pipe: connection.Connection, job: shards.Job, features_folder: str | None
) -> None:
    """Makes shards until the parent closes the pipe or exits."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    try:
        job = _with_features(job, features_folder)
        pipe.send(("ready", None))
        while True:
            shards.make(job, pipe.recv(), lambda rows: _report_rows(pipe, rows))
            pipe.send(("made", None))
    except (EOFError, BrokenPipeError):
        return
    except data_errors.DataError as error:
        error_fields = (error.path, error.found, error.needed, error.line)
        pipe.send(("failed", error_fields))
    except Exception:  # the parent raises it, whatever it is
        pipe.send(("failed", traceback.format_exc()))


def _report_rows(pipe: connection.Connection, rows: int) -> None:
    pipe.send(("rows", rows))


def _error_of(value: tuple | str) -> Exception:
    if isinstance(value, tuple):
        return data_errors.DataError(*value)
    return RuntimeError(f"a worker failed:\n{value}")


def _with_features(job: shards.Job, folder: str | None) -> shards.Job:
    if folder is None:
        return job
    return dataclasses.replace(job, features=text_features_lib.load(folder))
