"""The check that uvicorn has the internals that the gateway's WebSocket protocol uses."""

import structlog
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

_log = structlog.get_logger("sightline.ws")
_USED = """
    client close_sent close_timer conn connection_made connections curr_msg_data_type
    data_received default_headers disconnected frames handle_connect handle_cont
    handle_parser_exception handle_ping handle_pong handshake_complete handshake_initiated
    keepalive_timeout loop on_task_complete pause_writing pending_ping_payload ping_interval
    ping_timeout ping_timer pong_timer queue read_paused resume_writing run_asgi schedule_ping
    send send_keepalive_ping send_receive_event_to_app server shutdown start_keepalive tasks
    transport
"""


def incompatibility(config: uvicorn.Config) -> str | None:
    """The internals used here that this uvicorn lacks, as text; None if all exist."""
    stock = WebSocketsSansIOProtocol(config, ServerState(), {})
    missing = [name for name in _USED.split() if not hasattr(stock, name)]
    return f"uvicorn {uvicorn.__version__} has no {', '.join(missing)}" if missing else None


def use_stock_if_incompatible(config: uvicorn.Config) -> None:
    """If the internals changed, use uvicorn's own protocol: slower and without eviction."""
    if (lacking := incompatibility(config)) is not None:
        _log.error("stock_protocol", why=lacking, remedy="install the locked versions again")
        config.ws = config.ws_protocol_class = WebSocketsSansIOProtocol
