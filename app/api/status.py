"""Health, session, catalog and the generated documents of the gateway."""

from importlib.metadata import version

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException

from ..auth.access import Scope
from ..auth.credentials import AuthenticatedBy, Credential
from ..catalog.registry import Catalog, CatalogEntry
from ..channels.backend import BackendStatus, ChannelBackend
from ..errors import BadRequestError
from ..journal.journal import Journal, JournalStatus
from ..metrics import Counters
from ..settings import Settings
from ..ws.flow import history_start, limits_of
from ..ws.handshake import fault_of
from ..ws.listener import asked
from ..ws.messages import HistoryStart, Limits
from ..ws.registry import ConnectionRegistry

HTTPRequest = Request[object, object, object]  # type: ignore[type-var]


class HealthStatus(msgspec.Struct):
    """The gateway is up. Needs no credential, so it contains nothing else."""

    status: str
    version: str


class Identity(msgspec.Struct):
    """Who the caller is and what it may do. `read` and `publish` are patterns; empty is nothing."""

    name: str
    scopes: list[Scope]
    read: tuple[str, ...]
    publish: tuple[str, ...]


class SessionStatus(msgspec.Struct):
    """How the caller is authenticated, and the state and limits of the gateway.

    For others than admins, `journal` is null and `workspace_blind` is empty.
    """

    authenticated_by: AuthenticatedBy
    identity: Identity
    limits: Limits
    places_taken: int
    backend: BackendStatus
    journal: JournalStatus | None  # null without a journal
    history: HistoryStart | None
    workspace_blind: dict[str, int]  # folders that cannot be watched, by reason


class KnownType(CatalogEntry, frozen=True, kw_only=True):
    """One event type; `kept`: whether this gateway's journal stores events of it."""

    kept: bool


class CatalogPage(msgspec.Struct):
    """All event types."""

    types: list[KnownType]


@get("/api/health", opt={"open": True})
async def health() -> HealthStatus:
    """Report that the gateway is up."""
    return HealthStatus("healthy", version("sightline-gateway"))


@get("/api/session", opt={"scope": "any"})
async def session(
    request: HTTPRequest,
    registry: NamedDependency[ConnectionRegistry],
    settings: NamedDependency[Settings],
    backend: NamedDependency[ChannelBackend],
    journal: NamedDependency[Journal | None],
    counters: NamedDependency[Counters],
) -> SessionStatus:
    """Check the caller's credential, and report the gateway's state and limits."""
    credential: Credential = request.scope["state"]["credential"]
    access = credential.access
    return SessionStatus(
        credential.kind,
        Identity(access.name, sorted(access.scopes), access.read, access.publish),
        limits_of(settings),
        registry.taken,
        backend.status,
        journal.status if journal is not None and access.is_admin else None,
        history_start(journal),
        counters.blind if access.is_admin else {},
    )


@get("/api/catalog", opt={"scope": "any"})
async def catalog(
    catalog: NamedDependency[Catalog], settings: NamedDependency[Settings]
) -> CatalogPage:
    """Return the event types, each with its schema, an example and whether the journal keeps it."""
    left_out = settings.journal_leave_out
    has_journal = settings.journal_path is not None
    return CatalogPage(
        [
            KnownType(
                **msgspec.structs.asdict(entry), kept=has_journal and entry.type not in left_out
            )
            for entry in catalog.entries()
        ]
    )


@get("/api/openapi.json", opt={"scope": "any"})
async def openapi_document(openapi: NamedDependency[str]) -> Response[str]:
    """Return this OpenAPI document."""
    return Response(openapi, media_type="application/json")


@get("/api/asyncapi.json", opt={"scope": "any"})
async def asyncapi_document(asyncapi: NamedDependency[str]) -> Response[str]:
    """Return the AsyncAPI document, which describes `/ws` and its messages."""
    return Response(asyncapi, media_type="application/json")


@get("/ws", opt={"scope": "read"})
async def upgrade_required(
    request: HTTPRequest, registry: NamedDependency[ConnectionRegistry]
) -> None:
    """Refuse a GET that is no valid WebSocket upgrade, with the error that an upgrade would get."""
    asking = asked(request.scope)
    fault = fault_of(request.scope.get("extensions"))
    if fault.status == 400:
        raise BadRequestError(fault.message)
    registry.check(asking.client_id, asking.credential)
    raise HTTPException(fault.message, status_code=fault.status)
