"""The HTTP application: which path does what.

POST /v1/chat/completions, /v1/completions     GET /v1/models, /v1/models/{id}
GET /health   the process lives                GET /ready     the engine takes requests (else 503)
GET /metrics  for Prometheus                   GET /engines   what `ostinato ps` shows
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from email.utils import formatdate
from time import perf_counter
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ostinato.server.answer import submit
from ostinato.server.body import read_body
from ostinato.server.errors import ApiError
from ostinato.server.formats import ChatFormat, CompletionFormat, Format
from ostinato.server.metrics import CONTENT_TYPE, Metrics
from ostinato.server.model import ServedModel
from ostinato.server.prepare import Job, prepare_chat, prepare_completion
from ostinato.server.protocol import ChatRequest, CompletionRequest, Generation
from ostinato.server.responses import Answer, EventStream, encode


def create_app(model: ServedModel) -> ASGIApp:
    """The application. The engine is started and stopped by others (run.py); requests may come before it is
    ready, and wait."""
    metrics = Metrics(model.engine.info)
    service = _Service(model, metrics)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", service.chat, methods=["POST"]),
            Route("/v1/completions", service.complete, methods=["POST"]),
            Route("/v1/models", service.models),
            Route("/v1/models/{id:path}", service.model),
            Route("/health", service.health),
            Route("/ready", service.ready),
            Route("/metrics", service.metrics),
            Route("/engines", service.engines),
        ],
        exception_handlers={ApiError: _api_error, HTTPException: _http_error, 500: _internal_error},
    )
    return _Measured(app, metrics)


class _Service:
    """The endpoints."""

    def __init__(self, model: ServedModel, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics
        self._chat_body = msgspec.json.Decoder(ChatRequest)
        self._completion_body = msgspec.json.Decoder(CompletionRequest)

    async def chat(self, request: Request) -> Answer:
        body = await read_body(request, self._chat_body)
        job = await prepare_chat(body, self._model)
        return self._answer(body, job, ChatFormat(self._model, job))

    async def complete(self, request: Request) -> Answer:
        body = await read_body(request, self._completion_body)
        job = await prepare_completion(body, self._model)
        return self._answer(body, job, CompletionFormat(self._model, job))

    def _answer(self, body: Generation, job: Job, form: Format) -> Answer:
        streams = submit(job, self._model)
        if not body.stream:
            return Answer(job, streams, self._model, self._metrics, form)
        usage = body.stream_options is not None and body.stream_options.include_usage
        return EventStream(job, streams, self._model, self._metrics, form, usage)

    async def models(self, request: Request) -> Response:
        return _json({"object": "list", "data": [self._card()]})

    async def model(self, request: Request) -> Response:
        name = request.path_params["id"]
        if name != self._model.name:
            raise ApiError(404, f"model {name!r} is not loaded", param="model", code="model_not_found")
        return _json(self._card())

    async def health(self, request: Request) -> Response:
        return _json({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        info = self._model.engine.info()
        if not info["ready"]:
            why = info["down"] or "it is starting"
            raise ApiError(503, f"the engine is not ready: {why}", code="not_ready", retry_after=1)
        return _json({"status": "ready"})

    async def metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def engines(self, request: Request) -> Response:
        info = self._model.engine.info()
        return _json([{"name": self._model.name, "context": self._model.context, **info}])

    def _card(self) -> dict[str, Any]:
        return {
            "id": self._model.name,
            "object": "model",
            "created": self._model.created,
            "owned_by": "ostinato",
        }


class _Measured:
    """Counts calls, by the route that took them, and dates responses. (Not Starlette's middleware: that one buffers
    disconnects.)"""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 499  # the client left before an answer began (nginx's number for it)

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"date", formatdate(usegmt=True).encode())]
            await send(message)

        started = perf_counter()
        self._metrics.begin()
        try:
            await self._app(scope, receive, watched)
        finally:
            self._metrics.end(_route(scope), status, perf_counter() - started)


def _route(scope: Scope) -> str:
    """A label from a closed set: callers must not be able to make new ones."""
    endpoint: Callable[..., Awaitable[Response]] | None = scope.get("endpoint")
    return getattr(endpoint, "__name__", "none")


def _json(value: Any) -> Response:
    return Response(encode(value), headers={"content-type": "application/json"})


def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    method, path = request.method[:16], request.url.path[:200]
    return ApiError(error.status_code, f"{method} {path}: {error.detail}").response()


def _internal_error(request: Request, error: Exception) -> Response:
    return ApiError(500, f"internal error: {type(error).__name__}", code="internal_error").response()
