"""The HTTP interface: POST /v1/slates, GET /v1/models, GET /openapi.json."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response

from serving.gateway.exposures import ExposureLog
from serving.gateway.requests import BadRequest, read_request
from serving.gateway.service import NothingToServe, SlateService
from springtide.contracts.scoring import SlateRequest, SlateResponse

JSON: Final = "application/json"

FLUSH_SECONDS: Final = 3.0
"""Wall time that the end waits for exposures still on their way."""


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request is refused."""

    field: str
    """Path of the field; empty for the whole body."""
    message: str


class ArmModel(msgspec.Struct, frozen=True, kw_only=True):
    """What an arm serves now."""

    arm: str
    chain: str
    version: str
    """Empty: no model yet."""
    newest_event_ms: int
    """Newest impression that the model learned."""
    items: int
    """Items that may be recommended."""
    rolled_back: str = ""
    """Why a later version was taken back; empty once a newer one serves."""


def make_app(service: SlateService, exposures: ExposureLog, models: Callable[[], list[ArmModel]]) -> FastAPI:
    """Make the application.

    Args:
        service: answers requests.
        exposures: opened before the first request and closed after the last.
        models: gives what each arm serves.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await exposures.start()
        yield
        await exposures.stop(FLUSH_SECONDS)

    app = FastAPI(
        title="Springtide serving",
        version="1",
        description="Ranked slates for users.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )

    async def post_slates(request: Request) -> Response:
        """Rank a slate for one user, and log it as served."""
        try:
            answer = await service.answer(read_request(await request.body()))
        except BadRequest as error:
            return _json(FieldError(field=error.field, message=error.message), error.status)
        except NothingToServe as error:
            return _json(FieldError(field="", message=str(error)), 503)
        return Response(answer, media_type=JSON)

    async def get_models() -> Response:
        """Tell which model each arm serves."""
        return _json(models(), 200)

    # Plain routes: FastAPI's own parsing would double the cost of a request, msgspec has checked it already.
    app.add_route("/v1/slates", post_slates, methods=["POST"], include_in_schema=False)
    app.add_api_route(
        "/v1/models", get_models, methods=["GET"], response_class=Response, openapi_extra=_answers("ArmModels", {})
    )
    setattr(app, "openapi", _openapi(app))  # noqa: B010 -- how FastAPI wants its schema extended
    return app


def _json(content: Any, status: int) -> Response:
    return Response(msgspec.json.encode(content), status_code=status, media_type=JSON)


def _content(name: str) -> dict[str, Any]:
    return {"content": {JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}}}


def _answers(name: str, refusals: dict[str, str]) -> dict[str, Any]:
    answers = {"200": {"description": "Done", **_content(name)}}
    answers |= {status: {"description": text, **_content("FieldError")} for status, text in refusals.items()}
    return {"responses": answers}


def _openapi(app: FastAPI) -> Callable[[], dict[str, Any]]:
    build = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = build()
        _, components = msgspec.json.schema_components(
            [SlateRequest, SlateResponse, FieldError, ArmModel], ref_template="#/components/schemas/{name}"
        )
        array = {"type": "array", "items": {"$ref": "#/components/schemas/ArmModel"}}
        schema.setdefault("components", {}).setdefault("schemas", {}).update({**components, "ArmModels": array})
        refusals = {
            "400": "The body is no JSON",
            "422": "A field breaks its rule; it is named",
            "503": "No item is known yet",
        }
        schema["paths"]["/v1/slates"] = {
            "post": {
                "summary": "Rank a slate for one user, and log it as served",
                "operationId": "post_slates",
                "requestBody": {"required": True, **_content("SlateRequest")},
                **_answers("SlateResponse", refusals),
            }
        }
        app.openapi_schema = schema
        return schema

    return described
