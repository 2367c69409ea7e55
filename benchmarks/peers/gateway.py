"""The complete gateway, as `litestar run` serves it; what is published comes from inside."""

import asyncio
import sys
from pathlib import Path

import uvicorn

from app.main import create_app
from app.settings import Settings
from app.ws.uvicorn_protocol import SightlineWebSocketProtocol
from benchmarks.orders import serve_uvicorn
from benchmarks.peers import TOKEN

QUIET_S = 3600.0  # no heartbeat amid a run: the clients' bytes are compared


def main() -> None:
    settings = Settings(
        session_token=TOKEN,
        state_dir=Path(sys.argv[1]),
        max_clients=100_000,
        workspace=None,
        extra_namespaces=("bench",),
        heartbeat_interval_s=QUIET_S,
        log_level="error",
    )
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        port=0,
        ws=SightlineWebSocketProtocol,
        http="httptools",
        ws_ping_interval=settings.heartbeat_interval_s,
        ws_ping_timeout=settings.pong_timeout_s,
        ws_max_size=settings.max_message_bytes,
        ws_per_message_deflate=False,
        proxy_headers=False,
        server_header=False,
        log_config=None,
        access_log=False,
    )
    publisher = app.dependencies["publisher"].dependency()
    asyncio.run(serve_uvicorn(config, publisher.publish))


if __name__ == "__main__":
    main()
