"""The check that uvicorn has the internals that the gateway's WebSocket protocol uses."""

import structlog
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

_log = structlog.get_logger("sightline.ws")
_USED = {
    *("close_sent", "conn", "loop", "pending_ping_payload", "ping_timeout", "pong_timer"),
    *("transport", "connection_made", "data_received", "handle_connect", "handle_ping"),
    *("close_timer", "handle_cont", "handle_parser_exception", "handle_pong", "queue", "send"),
    *("keepalive_timeout", "pause_writing", "resume_writing", "schedule_ping"),
    *("send_keepalive_ping", "shutdown", "connections", "server", "client", "handshake_initiated"),
    *("handshake_complete", "on_task_complete", "tasks", "run_asgi", "disconnected", "read_paused"),
    *(
        "curr_msg_data_type",
        "frames",
        "send_receive_event_to_app",
        "default_headers",
        "start_keepalive",
        "ping_interval",
        "ping_timer",
    ),
}


def incompatibility(config: uvicorn.Config) -> str | None:
    """The internals used here that this uvicorn lacks, as text; None if all exist."""
    stock = WebSocketsSansIOProtocol(config, ServerState(), {})
    missing = sorted(name for name in _USED if not hasattr(stock, name))
    return f"uvicorn {uvicorn.__version__} has no {', '.join(missing)}" if missing else None


def use_stock_if_incompatible(config: uvicorn.Config) -> None:
    """If the internals changed, use uvicorn's own protocol: slower and without eviction."""
    if (lacking := incompatibility(config)) is not None:
        _log.error("stock_protocol", why=lacking, remedy="install the locked versions again")
        config.ws = config.ws_protocol_class = WebSocketsSansIOProtocol
