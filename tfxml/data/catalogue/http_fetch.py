"""Fetches files over HTTP: what came stays, and the next try goes on there."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from tfxml.data.records import record_files

_PIECE_BYTES = 1 << 16
_TRIES = 5  # without a byte between them


class DownloadError(OSError):
    """A mirror does not give the file, and why."""


class _Interrupted(Exception):
    """The connection ended early; the next one goes on."""


def fetch(
    url: str,
    path: str | os.PathLike,
    sha256: str = "",
    timeout: float = 60.0,
    pause: float = 1.0,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> str:
    """Writes a file; returns its SHA-256.

    `<path>.partial` holds what came so far, and is gone on with while the
    server still has the same file.

    Args:
        url: http or https.
        path: the file; it appears when it is whole.
        sha256: what the content must hash to; empty: anything.
        timeout: seconds without a byte after which a connection is given up.
        pause: seconds before the second try, twice as many each time.
        progress: is told the bytes that came, and of how many.

    Raises:
        DownloadError: if the server gives no such file.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(
            f"`url` must begin with http:// or https://. Received: {url=}"
        )
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    failures, reason = 0, ""
    while failures < _TRIES:
        before = _size(partial)
        try:
            _go_on(url, partial, timeout, progress)
            break
        except (_Interrupted, OSError, http.client.HTTPException) as error:
            if isinstance(error, DownloadError):
                raise
            reason = str(error) or type(error).__name__
        failures = 1 if _size(partial) > before else failures + 1
        if failures < _TRIES:
            time.sleep(pause * 2 ** (failures - 1))
    else:
        raise DownloadError(
            f"{url}: {reason}; {_TRIES} tries, {_size(partial)} bytes are in "
            f"{partial}, where the same command goes on"
        )
    return _finish(url, partial, path, sha256)


def _go_on(url: str, partial: pathlib.Path, timeout: float, progress) -> None:
    """Reads to the end of the file, from where `partial` ends."""
    notes = partial.with_name(partial.name + ".json")
    start, tag = _size(partial), _read_tag(notes)
    if start and not tag:  # nothing says that the server's file is the same
        start = 0
    request = urllib.request.Request(url, headers={"User-Agent": "tfxml"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", tag)
    try:
        response = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code == 416:  # no such range: another file, or all of it
            partial.unlink(missing_ok=True)
            raise _Interrupted("the server's file became shorter") from error
        raise _refusal(url, error.code) from error
    with response:
        if response.status != 206:
            start = 0
        total = _total(response, start)
        _check_kind(url, response)
        _write_tag(notes, response)
        _copy(url, response, partial, start, total, progress)


def _copy(url, response, partial, start: int, total, progress) -> None:
    with open(partial, "r+b" if start else "wb") as file:
        file.seek(start)
        done = start
        while piece := response.read(_PIECE_BYTES):
            if not done and _is_page(piece):
                raise _page(url)
            file.write(piece)
            done += len(piece)
            progress(done, total)
    if total is not None and done < total:
        raise _Interrupted(f"the connection ended at {done} of {total} bytes")


def _finish(url, partial, path, sha256: str) -> str:
    found = record_files.sha256(partial)
    if sha256 and found != sha256:
        partial.unlink()
        raise DownloadError(
            f"{url}: SHA-256 {found} came, {sha256} was to come; the file is "
            "removed"
        )
    partial.with_name(partial.name + ".json").unlink(missing_ok=True)
    os.replace(partial, path)
    return found


def _total(response, start: int) -> int | None:
    """Returns the size of the whole file, if the server says it."""
    if start:
        # bytes 100-199/200
        words = response.headers.get("Content-Range", "").split()
        span, _, total = words[-1].partition("/") if words else ("", "", "")
        if not span.startswith(f"{start}-"):
            raise _Interrupted(f"the server sent the range {words}")
        return int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() else None


def _check_kind(url: str, response) -> None:
    if response.headers.get_content_type() == "text/html":
        raise _page(url)


def _is_page(content: bytes) -> bool:
    start = content[:512].lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _page(url: str) -> DownloadError:
    return DownloadError(
        f"{url}: a web page came in place of a file, as mirrors send it that "
        "ask for a login or a confirmation"
    )


def _refusal(url: str, code: int) -> Exception:
    if code in (401, 403, 407):
        return DownloadError(f"{url}: asks for a login (HTTP {code})")
    if code in (404, 410):
        return DownloadError(f"{url}: is gone (HTTP {code})")
    if code in (408, 425, 429) or code >= 500:
        return _Interrupted(f"HTTP {code}")
    return DownloadError(f"{url}: HTTP {code}")


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _read_tag(notes: pathlib.Path) -> str:
    """Returns what says whether the server's file is still the same."""
    try:
        return str(json.loads(notes.read_text())["tag"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""


def _write_tag(notes: pathlib.Path, response) -> None:
    tag = response.headers.get("ETag", "")
    if tag.startswith("W/"):  # weak: ranges may not be joined by it
        tag = ""
    tag = tag or response.headers.get("Last-Modified", "")
    record_files.write_json(notes, {"tag": tag})
