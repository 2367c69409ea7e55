"""What a credential may read and publish: filters never leave the bound of their reader."""

from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from app.auth.access import AUDIT, FULL, NOTHING, Access
from app.channels.filters import Bound, EventFilter, common
from app.errors import ForbiddenError
from app.main import create_app
from app.plugin import plugin_of
from app.settings import Settings
from app.ws.listener import NEEDS as NEEDS_OF_SOCKET
from tests.kit.examples import up_to

TOKENS = st.sampled_from(["a", "b", "system", "audit", "x"])
PATTERN = st.just("*") | st.tuples(TOKENS | st.just("*"), TOKENS | st.just("*")).map(".".join)
PATTERNS = st.lists(PATTERN, max_size=4)
TYPES = [f"{one}.{two}" for one in ("a", "b", "system") for two in ("x", "a", "audit")]
STEPS = st.lists(st.tuples(st.booleans(), PATTERNS), max_size=5)


@settings(max_examples=up_to(300))
@given(PATTERNS, PATTERNS, STEPS)
def test_no_subscribe_or_unsubscribe_leads_a_filter_out_of_what_may_be_read(
    readable: list[str], asked: list[str], steps: list[tuple[bool, list[str]]]
) -> None:
    access = Access("dash", ("read",), readable)
    held, free = access.held(EventFilter(asked)), EventFilter(asked)
    for adds, patterns in [(True, []), *steps]:
        held = held.with_patterns(patterns) if adds else held.without_patterns(patterns)
        if adds:
            free = free.with_patterns(patterns)
        for type_ in TYPES:
            may = type_ != AUDIT and EventFilter(readable).matches(type_)
            assert access.may_read(type_) == may
            assert not held.matches(type_) or may
            if not any(not adds for adds, _ in steps):  # nothing else is lost
                assert held.matches(type_) == (may and free.matches(type_))
        assert not held.matches_all
        said = EventFilter(held.patterns)  # `connected.types` says the result
        assert all(said.matches(t) == held.matches(t) for t in TYPES if t != AUDIT)


@given(PATTERN, PATTERN)
def test_what_two_patterns_have_in_common_is_one_pattern_or_nothing(one: str, other: str) -> None:
    shared = common(one, other)
    for type_ in TYPES:
        both = EventFilter([one]).matches(type_) and EventFilter([other]).matches(type_)
        assert both == (shared is not None and EventFilter([shared]).matches(type_))


def test_an_unsubscribe_takes_out_what_is_left_of_a_pattern() -> None:
    held = Access("dash", ("read",), ["a.*", "*.x"]).held(EventFilter(["*", "b.x"]))
    assert held.patterns == ("a.*", "*.x", "b.x")
    assert held.without_patterns(["b.*"]).patterns == ("a.*", "*.x")
    assert held.without_patterns(["*"]).patterns == ("b.x",)
    assert held.without_patterns(["a.*"]).with_patterns(["*.a"]).patterns == ("*.x", "b.x", "a.a")


def test_readers_with_different_bounds_never_share_a_group_of_the_bus() -> None:
    everything = EventFilter()
    reader = Access("dash", ("read",)).held(everything)
    assert reader.patterns == everything.patterns
    assert reader != everything
    assert reader == Access("other", ("read",)).held(EventFilter())
    assert EventFilter(["a.x"], Bound(("a.*",))) != EventFilter(["a.x"], Bound(("*.x",)))


NEEDS = {
    "open": "GET /, GET /api/health, GET /client/{name:str}, GET /login, GET /static/{folder:str}/{name:str},"
    " GET /static/{name:str}, POST /api/challenge, POST /api/login",
    "any": "GET /api/asyncapi.json, GET /api/catalog, GET /api/openapi.json, GET /api/session,"
    " POST /api/logout",
    "read": "GET /api/agui/{thread_id:str}, GET /api/events, GET /api/events/stream, GET /ws, POST /api/tickets",
    "publish": "POST /api/events, POST /api/hooks/claude-code, POST /api/hooks/codex, POST /v1/logs,"
    " POST /v1/metrics, POST /v1/traces",
}


def test_the_routes_for_others_than_admins_are_these(tmp_path: Path) -> None:
    """A new route belongs here once it holds what it answers, or takes, to `access_in`."""
    gateway = plugin_of(create_app(Settings(state_dir=tmp_path))).gateway
    found: dict[str, set[str]] = {}
    for route in gateway.app.routes:
        handlers = getattr(route, "route_handlers", None) or [route.route_handler]
        for handler in handlers:
            need = "open" if handler.opt.get("open") else handler.opt.get("scope", "admin")
            methods = getattr(handler, "http_methods", ())
            names = {f"{method} {route.path}" for method in methods} or {route.path}
            found.setdefault(need, set()).update(n for n in names if not n.startswith("OPTIONS"))
    del found["admin"]
    assert NEEDS_OF_SOCKET == {"scope": "read"}
    assert found == {need: set(names.split(", ")) for need, names in NEEDS.items()}


def test_an_admin_and_the_session_token_are_held_to_nothing_and_nobody_forges_the_audit() -> None:
    assert FULL.held(EventFilter()) is not None
    assert FULL.held(EventFilter()).matches_all
    assert Access("root", ("admin",)).may_read(AUDIT)
    for access in (FULL, Access("root", ("admin",)), Access("ci", ("publish",))):
        assert access.may_publish("a.x")
        with pytest.raises(ForbiddenError, match="published by the gateway alone"):
            access.require_publish(AUDIT)
    assert not NOTHING.may_read("a.x")
    assert not NOTHING.may_publish("a.x")
    assert NOTHING.held(EventFilter()).patterns == ()


def test_a_publish_outside_names_the_patterns_and_a_route_names_its_scope() -> None:
    ci = Access("ci", ("publish",), publish=["workflow.*", *(f"a.x{i}" for i in range(9))])
    ci.require_publish("workflow.started")
    with pytest.raises(ForbiddenError, match=r"'git\.pushed' .* 'ci' .*: workflow\.\*, .* 5 more"):
        ci.require_publish("git.pushed")
    ci.require("publish")
    ci.require("any")
    for need in ("read", "admin"):
        with pytest.raises(ForbiddenError, match=f"scope publish, and this needs {need}"):
            ci.require(need)
    assert not ci.may_read("workflow.started")
