"""The site of `make docs` as its readers see it: offline, in both themes, on a phone, searched."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Page, expect

from tests.snippets import ROOT

pytest.importorskip("material", reason="needs `make docs` once")
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BROKEN = "[...document.images].filter(image => !image.naturalWidth).map(image => image.src)"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The address that it is served at, and its pages."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert built.returncode == 0, built.stderr
    pages = sorted(path.relative_to(folder).as_posix() for path in folder.glob("**/*.html"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", pages
        server.shutdown()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_asks_no_other_host_and_fits_on_a_phone(
    site: tuple[str, list[str]], open_page: Callable[[], Page], scheme: str
) -> None:
    address, pages = site
    page = open_page()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 844})
    for name in pages:
        page.goto(f"{address}/{name}")
        expect(page.locator("h1").first).to_be_visible()
        assert page.evaluate(WIDER) == 0, name
        assert page.evaluate(BROKEN) == [], name


def test_a_search_finds_what_the_reference_says(
    site: tuple[str, list[str]], open_page: Callable[[], Page]
) -> None:
    page = open_page()
    page.goto(f"{site[0]}/index.html")
    page.get_by_placeholder("Search").click()
    page.keyboard.type("publish_from_thread")
    page.locator(".md-search-result__link").first.click()
    page.wait_for_url("**/reference.html**")
