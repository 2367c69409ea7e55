"""The complete gateway, as `litestar run` serves it; events are published from inside."""

import asyncio
import importlib
import sys
from pathlib import Path

from app.main import create_app
from app.server.serve import spare_collections, uvicorn_config
from app.settings import Settings
from benchmarks.orders import serve_uvicorn
from benchmarks.peers import NO_JOURNAL, TOKEN, UVLOOP

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
        journal="" if NO_JOURNAL in sys.argv else "auto",
    )
    app = create_app(settings)
    config = uvicorn_config(app, settings, port=0)
    publisher = app.dependencies["publisher"].dependency()
    loop = importlib.import_module("uvloop").new_event_loop if UVLOOP in sys.argv else None
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(serve_uvicorn(config, publisher.publish, spare_collections))


if __name__ == "__main__":
    main()
