"""Commands that are killed at a file operation, or a moment, of one's choice.

A process imports the commands once and forks for each run of one. In the
fork, an audit hook counts what is done to files below a folder: opens for
writing, renames, removals, new folders. At the chosen one the process kills
itself, after an open has left its file without what it was to hold.
"""

import importlib
import itertools
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

_EVENTS = {
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.mkdir",
    "os.symlink",
    "os.link",
    "os.truncate",
}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Killer:
    """Starts commands in a folder; a context that ends with their parent.

    They are those of the package in the folder, if there is one.
    """

    def __init__(self, folder=None):
        self._folder = folder

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *unused):
        self._process.stdin.close()
        self._process.wait(30)

    def run(self, module, words, folder, at=0, under=""):
        """Runs a command, killed at its operation `at`; 0: not at all.

        Args:
            module: of the command.
            words: its arguments.
            folder: below which operations count.
            at: the number of the operation, from 1.
            under: which of CONDITIONS it runs under.

        Returns:
            Its exit code, how many operations it came to, and its output.
        """
        words = list(map(str, words))
        return self._ask("operation", [module, words, str(folder), at, under])

    def run_for(self, seconds, module, words, environments, killed):
        """Runs a command as one or more tasks, of which some are killed.

        Args:
            seconds: after how many; None: not at all.
            module: of the command.
            words: its arguments.
            environments: of each task, what its environment has beside.
            killed: the indices of those that are killed.

        Returns:
            The exit codes of the tasks, and their outputs.
        """
        words = list(map(str, words))
        return self._ask(
            "moment", [seconds, module, words, environments, killed]
        )

    def _ask(self, *order):
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


def _count(folder, at, log):
    """Counts the operations below a folder, and dies at one of them."""
    count, is_busy = 0, False

    def hook(event, arguments):
        nonlocal count, is_busy
        if is_busy or not _is_change(event, arguments, folder):
            return
        count += 1
        is_busy = True
        os.pwrite(log, b"%d" % count, 0)
        if count == at:
            if event == "open":
                _leave_half(os.fspath(arguments[0]), arguments[2])
            os.kill(os.getpid(), signal.SIGKILL)
        is_busy = False

    sys.addaudithook(hook)


def _is_change(event, arguments, folder):
    if event == "open":
        path, _, flags = arguments
        is_change = isinstance(flags, int) and flags & _WRITES
    else:
        path, is_change = arguments[0] if arguments else None, event in _EVENTS
    if not is_change or not isinstance(path, str | bytes | os.PathLike):
        return False
    return os.path.abspath(os.fsdecode(path)).startswith(folder)


def _leave_half(path, flags):
    """Leaves what an open and half a write leave."""
    handle = os.open(path, flags, 0o600)
    if not path.endswith(".partial"):  # of which each part is the right one
        os.write(handle, b'{"')


def _serve():
    orders = os.dup(0), os.dup(1)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    for line in open(orders[0]):
        kind, arguments = json.loads(line)
        answer = json.dumps(_KINDS[kind](*arguments))
        os.write(orders[1], answer.encode() + b"\n")


def _run(module, words, folder, at, under):
    log = os.memfd_create("log")

    def prepare():
        CONDITIONS[under](folder)
        _count(folder, at, log)

    child, output = _start(module, words, {}, prepare)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code, int(_text(log) or 0), _text(output)


def _as_nobody(folder):
    os.setgid(65534)
    os.setuid(65534)
    os.environ["HOME"] = "/nonexistent"


def _with_few_handles(folder):
    limit = len(os.listdir("/proc/self/fd")) + 2
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def _with_a_clock_that_runs_back(folder):
    start = time.time()
    count = itertools.count()
    time.time = lambda: start - 3600 * next(count)


def _in_bounds(folder):
    """Where nothing is in the way, for two minutes, with 12 GiB at most."""
    os.chdir(folder)
    signal.alarm(120)
    resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))


def _serving_nobody(folder):
    """Serving ends once it could begin."""
    _in_bounds(folder)
    from tfxml import serve

    async def end(*unused):
        return 0

    serve._serve = end


CONDITIONS = {
    "": lambda folder: None,
    "nobody": _as_nobody,
    "few handles": _with_few_handles,
    "clock": _with_a_clock_that_runs_back,
    "in bounds": _in_bounds,
    "nobody asks": _serving_nobody,
}


def _run_for(seconds, module, words, environments, killed):
    for name in (module, "tensorflow"):
        importlib.import_module(name)  # which takes none of the seconds
    tasks = [_start(module, words, one, lambda: None) for one in environments]
    if seconds is not None:
        time.sleep(seconds)
        for index in killed:
            os.kill(tasks[index][0], signal.SIGKILL)
    ends = [os.waitpid(child, 0)[1] for child, _ in tasks]
    outputs = [_text(output) for _, output in tasks]
    return [os.waitstatus_to_exitcode(end) for end in ends], outputs


_KINDS = {"operation": _run, "moment": _run_for}


def _start(module, words, environment, prepare):
    """Returns the fork that runs a command, and where its output goes."""
    # Once, for all forks to come, of which some may not read Python's folder.
    for name in (module, "tensorflow"):
        importlib.import_module(name)
    output = os.memfd_create("output")
    child = os.fork()
    if child:
        return child, output
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = [module, *words]
    os.environ.update(environment)
    prepare()
    try:
        importlib.import_module(module).run()
    except SystemExit as end:
        sys.stdout.flush()
        os._exit(end.code or 0)
    os._exit(99)


def _text(handle):
    text = pathlib.Path(f"/proc/self/fd/{handle}").read_text()
    os.close(handle)
    return text


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # as `python -m` has it
    _serve()
