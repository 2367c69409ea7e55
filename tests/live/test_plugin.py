"""The gateway in another application: neither changes the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar, Request, Response, WebSocket, get, post, websocket
from litestar.channels import ChannelsPlugin
from litestar.config.cors import CORSConfig
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException, ImproperlyConfiguredException, NotAuthorizedException
from litestar.static_files import create_static_files_router
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.auth.tokens import Keyring
from app.channels.bus import EventBus
from app.channels.litestar_backend import SightlineChannelsBackend
from app.channels.publisher import EventPublisher
from app.channels.replay import ReplayStore
from app.main import create_app
from app.plugin import SightlinePlugin, plugin_of
from app.ws.registry import ConnectionRegistry
from tests.kit.http import TOKEN
from tests.kit.messages import close_code, receive, receive_type
from tests.kit.waiting import until
from tests.live.hosts import served, serving, settings_in

ERROR = {"message": "from a service"}


@post("/fail")
async def fail(publisher: NamedDependency[EventPublisher]) -> int:
    return (await publisher.publish("system.error", ERROR)).sequence_number


@post("/emit", sync_to_thread=True)
def emit(publisher: NamedDependency[EventPublisher]) -> None:
    publisher.emit("system.error", ERROR)


@get("/counts")
async def counts(
    bus: NamedDependency[EventBus],
    replay_store: NamedDependency[ReplayStore],
    registry: NamedDependency[ConnectionRegistry],
    keyring: NamedDependency[Keyring],
) -> list[int]:
    assert keyring.session_token.matches(TOKEN.encode())
    return [bus.head, len(replay_store), registry.taken]


@websocket("/echo")
async def echo(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_text(await socket.receive_text())
    await socket.close()


@get("/broken")
async def broken() -> None:
    raise HTTPException("my own way to fail", status_code=418)


def refuse_all_but_friends(connection: ASGIConnection[Any, Any, Any, Any], _: Any) -> None:
    if connection.headers.get("X-Friend") != "yes":
        raise NotAuthorizedException


def in_my_words(_: Request[Any, Any, Any], error: HTTPException) -> Response[str]:
    return Response(f"mine: {error.detail}", status_code=error.status_code)


def marked(response: Response[Any]) -> Response[Any]:
    response.headers["X-Mine"] = "yes"
    return response


def strict_host(folder: Path) -> Litestar:
    """Everything that an application can say about all of its routes, which the gateway's are not."""

    @get("/mine")  # not shared: Litestar keeps an application's `after_request` in a handler
    async def mine() -> str:
        return "mine"

    return Litestar(
        [mine, echo, broken],
        guards=[refuse_all_but_friends],
        exception_handlers={HTTPException: in_my_words, 404: in_my_words},
        after_request=marked,
        cors_config=CORSConfig(allow_origins=["*"]),
        request_max_body_size=1,
        plugins=[SightlinePlugin(settings_in(folder))],
    )


@pytest.mark.parametrize("stock", [False, True], ids=["run", "stock"])
async def test_a_handler_of_the_application_publishes_to_the_clients_of_the_gateway(
    tmp_path: Path, stock: bool
) -> None:
    app = Litestar([fail, counts], plugins=[SightlinePlugin(settings_in(tmp_path))])
    async with served(app, stock=stock) as host, host.connect() as client, host.http() as http:
        assert (await receive(client))["type"] == "connected"
        answer = await http.post("/fail")
        assert (answer.status_code, answer.json()) == (201, 1)
        assert (await receive_type(client, "system.error"))["data"] == ERROR
        assert (await http.get("/counts")).json() == [1, 1, 1]


async def test_a_synchronous_handler_emits_from_its_thread_and_clients_get_it_at_once(
    tmp_path: Path,
) -> None:
    app = Litestar([emit], plugins=[SightlinePlugin(settings_in(tmp_path))])
    async with served(app) as host, host.connect() as client, host.http() as http:
        assert (await receive(client))["type"] == "connected"
        for number in (1, 2):
            assert (await http.post("/emit")).status_code == 201
            assert (await receive_type(client, "system.error"))["sequence_number"] == number


async def test_routes_errors_and_unknown_paths_of_the_application_stay_its_own(
    tmp_path: Path,
) -> None:
    async with served(strict_host(tmp_path)) as host, host.http() as http:
        friend = {"X-Friend": "yes", "Host": "any.example", "Origin": "http://foreign.example"}
        answer = await http.get("/mine", headers=friend)
        assert (answer.status_code, answer.headers["X-Mine"]) == (200, "yes")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        for path, status, text in (
            ("/broken", 418, "mine: my own way to fail"),
            ("/nowhere", 404, "mine: Not Found"),
            ("/api/nowhere", 404, "mine: Not Found"),
        ):
            answer = await http.get(path, headers=friend)
            assert (answer.status_code, answer.text) == (status, text)
        # The gateway's own credential opens nothing here.
        answer = await http.get("/mine", headers={"X-Session-Token": TOKEN})
        assert answer.status_code == 401
        assert answer.text.startswith("mine: ")


async def test_no_guard_handler_or_limit_of_the_application_reaches_the_gateway(
    tmp_path: Path,
) -> None:
    event = {"type": "system.error", "data": ERROR}
    async with served(strict_host(tmp_path)) as host, host.http() as http, host.http(TOKEN) as own:
        published = await own.post("/api/events", json=event)
        assert published.status_code == 201
        assert {"X-Mine", "Access-Control-Allow-Origin"}.isdisjoint(published.headers)
        for method, path, headers, status, code in (
            ("GET", "/api/session", {}, 401, "unauthorized"),
            ("GET", "/api//session/", {}, 401, "unauthorized"),
            ("DELETE", "/api/session", {}, 401, "unauthorized"),
            ("GET", "/api/session", {"Host": "any.example"}, 403, "forbidden"),
            ("GET", "/static/nothing.js", {}, 404, "not_found"),
            ("GET", "/client/no/such", {}, 404, "not_found"),
        ):
            refused = await http.request(method, path, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (status, code), path
        assert (await own.delete("/api/session")).json()["code"] == "method_not_allowed"
        assert (await own.get("/ws")).status_code == 426


@pytest.mark.parametrize("stock", [False, True], ids=["run", "stock"])
async def test_upgrades_go_to_whom_the_path_belongs(tmp_path: Path, stock: bool) -> None:
    app = Litestar([echo], plugins=[SightlinePlugin(settings_in(tmp_path))])
    async with served(app, stock=stock) as host:
        async with host.connect("/echo", token=None) as mine:
            await mine.send("hello")
            assert await mine.recv() == "hello"
        for path, token, status in (
            ("/ws", None, 401),
            ("/api/session", TOKEN, 404),
            ("/nowhere", TOKEN, 403),  # the framework's own way, as without the gateway
        ):
            with pytest.raises(InvalidStatus) as refused:
                await host.connect(path, token)
            assert refused.value.response.status_code == status, path


async def test_a_server_of_any_kind_holds_the_message_limit_and_ends_with_1012(
    tmp_path: Path,
) -> None:
    settings = settings_in(tmp_path, max_message_bytes=1000)
    app = Litestar(plugins=[SightlinePlugin(settings)])
    async with served(app, stock=True) as host, host.connect() as long, host.connect() as client:
        assert (await receive(long))["type"] == (await receive(client))["type"] == "connected"
        await long.send('{"type":"ping"}'.ljust(1000))
        assert (await receive(long))["type"] == "pong"
        await long.send('{"type":"é"}'.ljust(1000))  # characters are not bytes
        assert await close_code(long) == 1009
        plugin_of(app).gateway.begin_drain()
        assert await close_code(client) == 1012


async def test_a_server_may_hand_on_the_token_in_the_scopes_subprotocols_alone(
    tmp_path: Path,
) -> None:
    app = Litestar(plugins=[SightlinePlugin(settings_in(tmp_path))])

    async def as_wsproto(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            kept = [pair for pair in scope["headers"] if pair[0] != b"sec-websocket-protocol"]
            scope = {**scope, "headers": kept}
        await app(scope, receive, send)

    async with serving(as_wsproto) as address:
        offered = ["events.v1", f"token.{TOKEN}"]
        async with connect(f"ws://{address}/ws", subprotocols=offered, proxy=None) as client:
            assert (await receive(client))["type"] == "connected"
            assert client.subprotocol == "events.v1"
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{address}/ws", subprotocols=["token.wrong"], proxy=None)
        assert refused.value.response.status_code == 401


async def test_only_the_applications_routes_are_in_its_openapi_document(tmp_path: Path) -> None:
    app = Litestar([fail], plugins=[SightlinePlugin(settings_in(tmp_path))])
    assert list(app.openapi_schema.paths or {}) == ["/fail"]


@get("/")
async def front_page() -> str:
    return "my page"


@get("/metrics")
async def my_metrics() -> str:
    return "my metrics"


def test_a_path_that_both_have_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for handler, path in (
        (front_page, "/"),
        (create_static_files_router("/static", [tmp_path]), "/static/{file_path:path}"),
        (my_metrics, "/metrics"),
    ):
        with pytest.raises(ImproperlyConfiguredException) as refused:
            Litestar([handler], plugins=[SightlinePlugin(settings_in(tmp_path))])
        assert f"'{path}' is a path of the gateway and of this application" in str(refused.value)
        assert "console=False" in str(refused.value)
        assert "metrics=False" in str(refused.value)


async def test_a_page_static_files_and_metrics_of_the_application_take_one_word(
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.css").write_text("body {}")
    plugin = SightlinePlugin(settings_in(tmp_path), console=False, metrics=False)
    files = create_static_files_router("/static", [tmp_path])
    app = Litestar([front_page, files, my_metrics], plugins=[plugin])
    async with served(app) as host, host.http() as http:
        assert (await http.get("/")).text == "my page"
        assert (await http.get("/static/mine.css")).text == "body {}"
        assert (await http.get("/metrics")).text == "my metrics"
        assert (await http.get("/login")).json() == {"status_code": 404, "detail": "Not Found"}
        assert (await http.get("/client/sightline.js")).status_code == 200
    async with served(app) as host, host.http(TOKEN) as http:
        described = (await http.get("/api/openapi.json")).json()["paths"].keys()
        assert not described & {"/", "/login", "/static/{name}", "/metrics"}


async def test_a_page_of_the_application_logs_its_users_in_with_a_ticket_it_makes(
    tmp_path: Path,
) -> None:
    @get("/ticket", guards=[refuse_all_but_friends])
    async def ticket(keyring: NamedDependency[Keyring]) -> str:
        return keyring.tickets.issue()

    plugin = SightlinePlugin(settings_in(tmp_path), console=False)
    async with served(Litestar([ticket], plugins=[plugin])) as host, host.http() as http:
        made = (await http.get("/ticket", headers={"X-Friend": "yes"})).text
        logged_in = await http.post("/api/login", json={"ticket": made})
        assert logged_in.status_code == 204
        key = {"X-Browser-Key": logged_in.headers["X-Browser-Key"]}
        assert (await http.get("/api/session", headers=key)).json()["authenticated_by"] == "cookie"


async def test_a_dependency_of_the_application_goes_before_one_of_the_same_name(
    tmp_path: Path,
) -> None:
    @get("/mine")
    async def mine(registry: NamedDependency[str]) -> str:
        return registry

    provided = {"registry": Provide(lambda: "my registry", sync_to_thread=False)}
    plugin = SightlinePlugin(settings_in(tmp_path))
    app = Litestar([mine], dependencies=provided, plugins=[plugin])
    async with served(app) as host, host.http(TOKEN) as http:
        assert (await http.get("/mine")).text == "my registry"
        assert (await http.get("/api/session")).json()["places_taken"] == 0


async def test_services_of_the_application_publish_from_their_own_start_to_their_own_end(
    tmp_path: Path,
) -> None:
    numbers: list[int] = []
    plugin = SightlinePlugin(settings_in(tmp_path))

    @asynccontextmanager
    async def service(_: Litestar) -> AsyncIterator[None]:
        numbers.append((await plugin.publisher.publish("system.error", ERROR)).sequence_number)
        yield
        numbers.append((await plugin.publisher.publish("system.error", ERROR)).sequence_number)

    app = Litestar(lifespan=[service], plugins=[plugin])
    async with app.lifespan():
        pass
    assert numbers == [1, 2]


async def test_an_application_that_is_started_again_continues_its_epoch_and_still_publishes(
    tmp_path: Path,
) -> None:
    app = Litestar([fail], plugins=[SightlinePlugin(settings_in(tmp_path))])
    epochs = set()
    for number in (1, 2, 3):
        async with served(app) as host, host.connect() as client, host.http() as http:
            epochs.add((await receive(client))["epoch"])
            assert (await http.post("/fail")).json() == number
            assert (await receive(client))["sequence_number"] == number
    assert len(epochs) == 1


async def test_two_applications_in_one_process_have_two_streams(tmp_path: Path) -> None:
    one, other = (
        Litestar([fail, counts], plugins=[SightlinePlugin(settings_in(tmp_path / name))])
        for name in ("one", "other")
    )
    async with served(one) as first, served(other) as second:
        async with first.http() as http:
            await http.post("/fail")
            assert (await http.get("/counts")).json() == [1, 1, 0]
        async with second.http() as http:
            assert (await http.get("/counts")).json() == [0, 0, 0]


async def test_one_plugin_in_two_running_applications_is_refused(tmp_path: Path) -> None:
    plugin = SightlinePlugin(settings_in(tmp_path))
    first = Litestar([fail], plugins=[plugin])
    async with served(first) as host:
        second = Litestar(plugins=[plugin])
        with pytest.raises(ExceptionGroup) as refused:  # as Litestar hands on what a start raises
            async with second.lifespan():
                pass
        assert refused.group_contains(
            ImproperlyConfiguredException, match="a SightlinePlugin for each"
        )
        async with host.http() as http, host.connect() as client:
            await receive(client)
            assert (await http.post("/fail")).json() == 1
            assert (await receive(client))["sequence_number"] == 1


@pytest.mark.slow
def test_building_an_application_twice_touches_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # and there is no loop that a task could begin in
    for _ in range(2):
        create_app(settings_in(tmp_path))
        Litestar([fail], plugins=[SightlinePlugin(settings_in(tmp_path))])
    assert list(tmp_path.iterdir()) == []


async def test_a_route_registered_with_the_gateway_alone_is_as_guarded_as_the_gateways(
    tmp_path: Path,
) -> None:
    app = create_app(settings_in(tmp_path))
    app.register(fail)
    async with served(app) as host, host.http(TOKEN) as http, host.http() as stranger:
        client = await host.connect()
        await receive(client)
        assert (await stranger.post("/fail")).status_code == 401
        assert (await http.post("/fail")).json() == 1
        assert (await receive(client))["data"] == ERROR
        assert (await http.get("/nowhere")).json()["code"] == "not_found"


def test_a_plugin_without_an_application_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfiguredException, match="pass this plugin to Litestar"):
        _ = SightlinePlugin(settings_in(tmp_path)).publisher


async def test_the_end_of_the_application_is_the_gateways_too(tmp_path: Path) -> None:
    app = Litestar([fail], plugins=[SightlinePlugin(settings_in(tmp_path))])
    async with served(app) as host:
        client = await host.connect()
        await receive(client)
        own_handler = app.asgi_handler
    assert await close_code(client) == 1012
    assert app.asgi_handler is not own_handler
    plugin = app.plugins.get(SightlinePlugin)
    await until(lambda: plugin.registry.taken == plugin.bus.subscriptions == 0)


async def test_a_channel_reaches_a_real_socket_with_history_and_then_live(tmp_path: Path) -> None:
    plugin = SightlinePlugin(settings_in(tmp_path))
    channels = ChannelsPlugin(
        SightlineChannelsBackend(plugin),
        channels=["system.*"],
        create_ws_route_handlers=True,
        ws_handler_base_path="/channels",
        ws_handler_send_history=1,
    )
    app = Litestar([fail], plugins=[plugin, channels])
    async with served(app) as host, host.http() as http, host.connect() as client:
        for _ in range(2):
            await http.post("/fail")
        async with host.connect("/channels/system.*", token=None) as subscriber:
            assert (await receive(subscriber))["sequence_number"] == 2
            await channels.wait_published(ERROR, "system.error")
            received = await receive(subscriber)
        assert (received["sequence_number"], received["data"]) == (3, ERROR)
        numbers = [(await receive_type(client, "system.error"))["sequence_number"] for _ in "123"]
        assert numbers == [1, 2, 3]
        # A client that is still connected does not delay the end of the application.
        await host.connect("/channels/system.*", token=None)
