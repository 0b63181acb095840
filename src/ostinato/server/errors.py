"""Errors as OpenAI's API words them: a status, and {"error": {message, type, param, code}}."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from starlette.responses import Response

# The ends of msgspec's messages: what, and where as `$.messages[0].role`.
_AT = r"(?: - at (?:`key` in )?`\$\.?(?P<at>.*)`)?$"
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*?)`" + _AT, re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*?)`" + _AT, re.DOTALL)
_INVALID = re.compile(r"(?P<text>.*?)" + _AT, re.DOTALL)


class ApiError(Exception):
    """An answer other than 200."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The error object."""
        return {
            "error": {"message": str(self), "type": self.type, "param": self.param, "code": self.code},
        }

    @property
    def type(self) -> str:
        if self.status == 429:
            return "rate_limit_error"
        return "invalid_request_error" if self.status < 500 else "server_error"

    def response(self) -> Response:
        """As an HTTP response."""
        headers = {} if self.retry_after is None else {"retry-after": str(self.retry_after)}
        return Response(msgspec.json.encode(self.body()), self.status, headers, "application/json")


def refuse(param: str, message: str, code: str | None = None) -> ApiError:
    """A 400 that names the parameter."""
    return ApiError(400, f"{param}: {message}", param=param, code=code)


def from_validation(error: msgspec.ValidationError) -> ApiError:
    """msgspec's error, with the parameter taken out of its text."""
    text = str(error)
    if match := _UNKNOWN.match(text):
        param = _join(match["at"], match["name"])
        return ApiError(400, f"Unknown parameter: {param}", param=param, code="unknown_parameter")
    if match := _MISSING.match(text):
        param = _join(match["at"], match["name"])
        message = f"Missing required parameter: {param}"
        return ApiError(400, message, param=param, code="missing_required_parameter")
    match = _INVALID.match(text)
    assert match is not None  # it matches any text
    return refuse(match["at"] or "body", match["text"], code="invalid_value")


def _join(at: str | None, name: str) -> str:
    """Cut short: the name is the caller's."""
    return (f"{at}.{name}" if at else name)[:200]
