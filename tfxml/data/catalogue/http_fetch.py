"""Downloads files over HTTP; an interrupted download resumes."""

from __future__ import annotations

import http.client
import json
import os
import pathlib
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import IO

from tfxml.data import data_errors
from tfxml.data.records import record_files

_PIECE_BYTES = 1 << 16
_TRIES = 5  # in a row that bring no byte
# Of a file: what an archive may hold at most, see `archives`.
_MAX_BYTES = 1 << 38
_SCHEMES = ("http", "https")


class DownloadError(OSError):
    """A mirror does not deliver the file; the message gives the reason."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to HTTP, and from HTTPS to HTTPS alone."""

    def redirect_request(
        self,
        request: urllib.request.Request,
        file: IO[bytes],
        code: int,
        message: str,
        headers: http.client.HTTPMessage,
        url: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(url).scheme.lower()
        allowed = _SCHEMES[1:] if request.type == "https" else _SCHEMES
        if scheme not in allowed:
            raise DownloadError(
                f"{request.full_url}: sends on to {url!r:.200}; allowed: "
                f"{', '.join(allowed)}"
            )
        return super().redirect_request(
            request, file, code, message, headers, url
        )


_open = urllib.request.build_opener(_Redirects).open


class _Interrupted(Exception):
    """The connection ended early; the next one resumes."""


def fetch(
    url: str,
    path: str | os.PathLike,
    sha256: str = "",
    timeout: float = 60.0,
    pause: float = 1.0,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> str:
    """Downloads a file; returns its SHA-256.

    `<path>.partial` holds what has arrived. A later call resumes it if the
    server still has the same file.

    Args:
        url: http or https.
        path: of the file, which appears when it is complete.
        sha256: what the content must hash to; empty: anything.
        timeout: seconds without a byte after which a connection is given up.
        pause: seconds before the second try, twice as many before each next.
        progress: called with the bytes received and the total, if known.

    Raises:
        DownloadError: if the server does not deliver such a file.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(
            f"`url` must begin with http:// or https://. Received: {url=}"
        )
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial_file = path.with_name(path.name + ".partial")
    failures, reason = 0, ""
    while failures < _TRIES:
        size_before = _size(partial_file)
        try:
            _resume(url, partial_file, timeout, progress)
            break
        except (_Interrupted, OSError, http.client.HTTPException) as error:
            if isinstance(error, DownloadError):
                raise
            code = error.errno if isinstance(error, OSError) else None
            if code in data_errors.REFUSALS:
                raise OSError(
                    code, os.strerror(code), str(partial_file)
                ) from error
            reason = str(error) or type(error).__name__
        failures = 1 if _size(partial_file) > size_before else failures + 1
        if failures < _TRIES:
            time.sleep(pause * 2 ** (failures - 1))
    else:
        raise DownloadError(
            f"{url}: {reason}; gave up after {_TRIES} tries. "
            f"{_size(partial_file)} bytes are in {partial_file}: the same "
            "command resumes there"
        )
    return _finish(url, partial_file, path, sha256)


def _resume(
    url: str,
    partial: pathlib.Path,
    timeout: float,
    progress: Callable[[int, int | None], None],
) -> None:
    """Downloads the rest of the file, from the end of `partial`."""
    notes = partial.with_name(partial.name + ".json")
    start, tag = _size(partial), _read_tag(notes)
    if start and not tag:  # the server's file may have changed
        start = 0
    request = urllib.request.Request(url, headers={"User-Agent": "tfxml"})
    if start:
        request.add_header("Range", f"bytes={start}-")
        request.add_header("If-Range", tag)
    try:
        response = _open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # no such range: the file changed or is complete
            partial.unlink(missing_ok=True)
            raise _Interrupted("the server's file became shorter") from error
        raise _refusal(url, error.code) from error
    except ValueError as error:
        raise DownloadError(f"{url}: sends on to no url ({error})") from error
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
            done += len(piece)
            if done > _MAX_BYTES:
                raise DownloadError(
                    f"{url}: sends more than {_MAX_BYTES:,} bytes"
                )
            file.write(piece)
            progress(done, total)
    if total is not None and done < total:
        raise _Interrupted(f"the connection ended at {done} of {total} bytes")


def _finish(url, partial, path, sha256: str) -> str:
    """Checks the file and gives it its name; returns its SHA-256."""
    actual = record_files.sha256(partial)
    if sha256 and actual != sha256:
        partial.unlink()
        raise DownloadError(
            f"{url}: expected SHA-256 {sha256}, received {actual}; the file "
            "was removed"
        )
    partial.with_name(partial.name + ".json").unlink(missing_ok=True)
    os.replace(partial, path)
    return actual


def _total(response, start: int) -> int | None:
    """Returns the size of the whole file, or None if the server hides it."""
    if start:
        # As in "bytes 100-199/200".
        words = response.headers.get("Content-Range", "").split()
        span, _, total = words[-1].partition("/") if words else ("", "", "")
        if not span.startswith(f"{start}-"):
            raise _Interrupted(f"the server sent the range {words}")
        return int(total) if total.isdecimal() else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _check_kind(url: str, response) -> None:
    if response.headers.get_content_type() == "text/html":
        raise _page(url)


def _is_page(content: bytes) -> bool:
    start = content[:512].lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def _page(url: str) -> DownloadError:
    return DownloadError(
        f"{url}: the mirror sent a web page instead of the file; it may ask "
        "for a login or a confirmation"
    )


def _refusal(url: str, code: int) -> Exception:
    if code in (401, 403, 407):
        return DownloadError(
            f"{url}: the mirror asks for a login (HTTP {code})"
        )
    if code in (404, 410):
        return DownloadError(f"{url}: the file is gone (HTTP {code})")
    if code in (408, 425, 429) or code >= 500:
        return _Interrupted(f"HTTP {code}")
    return DownloadError(f"{url}: HTTP {code}")


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _read_tag(notes: pathlib.Path) -> str:
    """Returns the tag by which the server recognises its file, or ''."""
    try:
        return str(json.loads(notes.read_text())["tag"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""


def _write_tag(notes: pathlib.Path, response) -> None:
    tag = response.headers.get("ETag", "")
    if tag.startswith("W/"):  # a weak tag does not allow to join ranges
        tag = ""
    tag = tag or response.headers.get("Last-Modified", "")
    record_files.write_json(notes, {"tag": tag})
