"""Commands that are killed at a file operation of one's choice.

A process imports the commands once and forks for each run of one. In the
fork, an audit hook counts what is done to files below a folder: opens for
writing, renames, removals, new folders. At the chosen one the process kills
itself, after an open has left its file without what it was to hold.
"""

import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys

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

    def run(self, module, words, folder, at=0):
        """Runs a command, killed at its operation `at`; 0: not at all.

        Returns:
            Its exit code, how many operations it came to, and its output.
        """
        order = module, list(map(str, words)), str(folder), at
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
        answer = json.dumps(_run(*json.loads(line)))
        os.write(orders[1], answer.encode() + b"\n")


def _run(module, words, folder, at):
    importlib.import_module(module)  # once, for all forks to come
    output, log = os.memfd_create("output"), os.memfd_create("log")
    child = os.fork()
    if not child:
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.argv = [module, *words]
        _count(folder, at, log)
        try:
            importlib.import_module(module).run()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code or 0)
        os._exit(99)
    _, status = os.waitpid(child, 0)
    texts = [
        pathlib.Path(f"/proc/self/fd/{fd}").read_text() for fd in (output, log)
    ]
    os.close(output)
    os.close(log)
    return os.waitstatus_to_exitcode(status), int(texts[1] or 0), texts[0]


if __name__ == "__main__":
    sys.path[0] = os.getcwd()  # as `python -m` has it
    _serve()
