"""Reading a request's body: bounded in bytes and in time, decoded into its type."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from ostinato.server.errors import ApiError, from_validation

MAX_BODY = 16 << 20  # bytes
PATIENCE = 30.0  # seconds for all of it

T = TypeVar("T")


async def read_body(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """Raises ApiError: 400 for what is not JSON of this type, 408 and 413 for too slow and too long."""
    try:
        async with asyncio.timeout(PATIENCE):
            body = await _read(request)
    except TimeoutError:
        raise ApiError(408, f"the body took longer than {PATIENCE:.0f} seconds") from None
    except ClientDisconnect:
        raise ApiError(400, "the connection ended inside the body") from None
    return _decode(body, decoder)


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            raise ApiError(413, f"the body is longer than {MAX_BODY} bytes", code="body_too_large")
    return bytes(body)


def _decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise from_validation(error) from None
    except msgspec.DecodeError as error:
        raise ApiError(400, f"the body is not JSON: {error}", code="invalid_json") from None
    except UnicodeDecodeError as error:
        raise ApiError(400, f"the body is not UTF-8: {error.reason}", code="invalid_json") from None
    except RecursionError:
        raise ApiError(400, "the body is nested too deeply", code="invalid_json") from None
