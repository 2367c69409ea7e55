"""The tutorial, step by step: its page in a browser, its commands in a shell, a gateway that is killed."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.gateway import Gateway, free_port
from tests.snippets import snippets

START, PAGE, SERVE, TOKEN, TELL, AWAY, AGAIN, OWN, MISTAKE, ANSWER = snippets(
    "docs/tutorial.md", "sh html sh sh sh sh sh sh sh json"
)
FUNCTION = TELL[: TELL.index("}\n") + 2]


class Tutorial:
    """A reader who follows the tutorial, on free ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"127.0.0.1:3000": free_port(), "127.0.0.1:8000": free_port()}
        self.page = f"http://127.0.0.1:{self.ports['127.0.0.1:8000']}"

    def here(self, code: str) -> str:
        for address, port in self.ports.items():
            code = code.replace(address, f"127.0.0.1:{port}")
        code = code.replace("localhost:8000", f"localhost:{self.ports['127.0.0.1:8000']}")
        return code.replace("http.server 8000", f"http.server {self.ports['127.0.0.1:8000']}")

    def bash(self, code: str) -> str:
        command = ["bash", "-ec", self.here(code)]
        return subprocess.check_output(command, cwd=self.folder, text=True, timeout=20)

    def gateway(self, code: str) -> Gateway:
        """The gateway that a line of settings and `make run` starts."""
        *settings, make, run = self.here(code).split()
        assert (make, run) == ("make", "run")
        environment = dict(setting.split("=", 1) for setting in settings)
        one = Gateway(
            self.folder, self.ports["127.0.0.1:3000"], SIGHTLINE_WORKSPACE="", **environment
        )
        one.start()
        return one


@pytest.fixture
def tutorial(tmp_path: Path) -> Iterator[Tutorial]:
    one = Tutorial(tmp_path)
    (tmp_path / "page").mkdir()
    (tmp_path / "page/index.html").write_text(one.here(PAGE))
    server = subprocess.Popen(
        ["bash", "-c", f"exec {one.here(SERVE)}"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
    )
    assert b"Serving HTTP" in server.stdout.readline()
    yield one
    server.terminate()
    server.communicate()


def test_the_page_of_the_tutorial_lives_resumes_and_says_what_it_lost(
    tutorial: Tutorial, open_page: Callable[[], Page], context: BrowserContext
) -> None:
    gateway = tutorial.gateway(START)
    try:
        page = open_page()
        token = tutorial.bash(TOKEN)
        page.on("dialog", lambda dialog: dialog.accept(token.strip()))
        other = context.new_page()  # to a browser `localhost` is another origin
        other.on("dialog", lambda dialog: dialog.accept(token.strip()))
        other.goto(tutorial.page.replace("127.0.0.1", "localhost"))
        expect(other.locator("#state")).to_have_text("live")
        other.close()
        page.goto(tutorial.page)
        state, pause, rows = (page.locator(name) for name in ("#state", "#pause", "#feed li"))
        expect(state).to_have_text("live")
        assert json.loads(tutorial.bash(TELL))["sequence_number"] == 1
        expect(rows).to_have_text(
            ["1 workflow.started " + '{"workflow_id":"w1","workflow_name":"Bake bread"}']
        )

        pause.click()
        expect(state).to_have_text("closed")
        tutorial.bash(FUNCTION + AWAY)
        expect(rows).to_have_count(1)
        pause.click()
        expect(rows).to_contain_text(
            ["1 workflow.started", "2 workflow.step_completed", "3 workflow.finished"]
        )

        gateway.kill()
        expect(state).to_have_text("reconnecting")
        gateway = tutorial.gateway(AGAIN)
        expect(state).to_have_text("live", timeout=40_000)
        expect(rows.nth(3)).to_have_text("lost: nobody knows how many (epoch_changed)")
        tutorial.bash(FUNCTION + OWN)
        expect(rows.nth(4)).to_have_text('1 deploy.finished {"target":"the oven"}')

        assert json.loads(tutorial.bash(FUNCTION + MISTAKE)) == json.loads(ANSWER)
        assert json.loads(tutorial.bash(FUNCTION + OWN))["sequence_number"] == 2
        expect(rows).to_have_count(6)
    finally:
        gateway.stop()
