"""The complete gateway on NATS JetStream; SIGHTLINE_NATS_URL is its address."""

import asyncio
import os
import sys
from pathlib import Path

from app.channels.publisher import EventPublisher
from app.main import create_app
from app.server.serve import spare_collections, uvicorn_config
from app.settings import Settings
from benchmarks.events import Fields
from benchmarks.orders import serve_uvicorn
from benchmarks.peers import TOKEN
from benchmarks.peers.gateway import QUIET_S


def settings(state_dir: Path, nats_url: str) -> Settings:
    """As those of the gateway without NATS."""
    return Settings(
        session_token=TOKEN,
        state_dir=state_dir,
        max_clients=100_000,
        workspace=None,
        extra_namespaces=("bench",),
        heartbeat_interval_s=QUIET_S,
        log_level="error",
        nats_url=nats_url,
    )


def main() -> None:
    chosen = settings(Path(sys.argv[1]), os.environ["SIGHTLINE_NATS_URL"])
    app = create_app(chosen)
    publisher: EventPublisher = app.dependencies["publisher"].dependency()

    async def publish(type_: str, data: Fields, metadata: Fields) -> None:
        publisher.emit(type_, data, metadata)  # NATS answers while the next ones are on their way

    asyncio.run(serve_uvicorn(uvicorn_config(app, chosen, port=0), publish, spare_collections))


if __name__ == "__main__":
    main()
