"""Answers to requests, written while the other end reads them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from aiohttp import web


async def send(
    request: web.Request, response: web.StreamResponse, seconds: float
) -> None:
    """Sends a response, or what is left of one; see `until_read`."""

    async def write() -> None:
        await response.prepare(request)
        await response.write_eof()
        await request.writer.drain()

    await until_read(request, write(), seconds)


async def until_read(
    request: web.Request, writing: Awaitable[None], seconds: float
) -> None:
    """Waits for writing; closes the connection if it takes too long.

    Args:
        request: whose answer is written.
        writing: it, or a part of it.
        seconds: within which the other end must have read enough of it.

    Raises:
        ConnectionError: if it has not.
    """
    try:
        await asyncio.wait_for(writing, seconds)
    except asyncio.TimeoutError as error:
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionAbortedError("an answer is not read") from error
