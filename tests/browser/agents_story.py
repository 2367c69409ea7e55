"""Made-up sessions of coding agents, for pictures and tests: `(seconds, type, data, metadata)` as in `story`."""

import random
from collections.abc import Iterator
from typing import Any

from tests.browser.story import LENGTH_S, Scene

PRICES = ("def discount(price, percent):", "    return price - percent")
FAILURE = "Exit code 1\nFAILED tests/test_prices.py::test_discount\nAssertionError: 190 != 180"
TASKS = [
    "Speed up the import of the catalogue",
    "Translate the checkout into French",
    "Find out why the nightly build is slow",
    "Upgrade the date picker",
    "Remove the unused feature flags",
]


class Session:
    """One session, told call by call."""

    def __init__(self, id: str, folder: str, agent: str = "Claude Code") -> None:
        self.scenes: list[Scene] = []
        self._of = {"session_id": id, "folder": folder}
        self._meta = {"agent": agent, "source": agent.lower().replace(" ", "-")}
        self._calls = 0

    def at(self, at: float, type_: str, **data: Any) -> None:
        self.scenes.append((at, f"agent.{type_}", {**self._of, **data}, self._meta))

    def call(self, at: float, tool: str, summary: str, **more: Any) -> dict[str, Any]:
        self._calls += 1
        call = {
            "tool_name": tool,
            "tool_use_id": f"{self._of['session_id']}-{self._calls}",
            "summary": summary,
            "tool_input": {"command" if tool == "Bash" else "file_path": summary},
            **more,
        }
        self.at(at, "tool_called", **call)
        return call

    def end(self, at: float, call: dict[str, Any], took_s: float, response: Any = None) -> None:
        details = {} if response is None else {"details": {"tool_response": response}}
        duration = round(took_s * 1000)
        self.at(
            at, "tool_finished", **call, outcome="ok", success=True, duration_ms=duration, **details
        )

    def fail(self, at: float, call: dict[str, Any], took_s: float, error: str) -> None:
        result = {"outcome": "failed", "success": False, "error": error}
        self.at(at, "tool_finished", **call, **result, duration_ms=round(took_s * 1000))

    def run(
        self, at: float, tool: str, summary: str, took_s: float, response: Any = None, **more: Any
    ) -> None:
        call = self.call(at, tool, summary, **more)
        self.end(at + took_s, call, took_s, response)

    def usage(self, at: float, tokens_in: int, tokens_out: int, cost: float) -> None:
        counts = {"input_tokens": tokens_in, "output_tokens": tokens_out, "cost_usd": cost}
        self.at(at, "usage_reported", **counts, request_id=f"r{at}")


def _printed(text: str) -> dict[str, str]:
    return {"stdout": text, "stderr": ""}


def _edit(path: str, before: str, after: str) -> dict[str, Any]:
    lines = [f" {PRICES[0]}", f"-{before}", f"+{after}"]
    return {"filePath": path, "structuredPatch": [{"oldStart": 5, "newStart": 5, "lines": lines}]}


def waiting() -> Session:
    """Asks for leave to push, two minutes ago."""
    one = Session("7f3a-release", "/home/ada/shop")
    one.at(380, "session_started", reason="startup", model="claude-sonnet-5-5")
    one.at(381, "turn_started", prompt="Release 2.4: bump the version, tag it and push")
    one.run(392, "Read", "/home/ada/shop/pyproject.toml", 0.02)
    one.run(410, "Edit", "/home/ada/shop/pyproject.toml", 0.1)
    commit = _printed("[main 4be81f2] Release 2.4\n 1 file changed, 1 insertion(+)")
    one.run(470, "Bash", "git commit -am 'Release 2.4' && git tag v2.4", 0.3, commit)
    one.at(690, "message", content="The release is tagged. I will push it now.")
    call = one.call(LENGTH_S - 128, "Bash", "git push --force-with-lease origin main v2.4")
    asked = {"tool_name": "Bash", "summary": call["summary"], "tool_input": call["tool_input"]}
    one.at(LENGTH_S - 127, "attention_needed", reason="permission", **asked)
    one.usage(700, 41_200, 3_900, 0.21)
    return one


def working() -> Session:
    """Fixes a bug with two sub-agents; the tests have been running for most of a minute."""
    path = "/home/ada/shop/src/prices.py"
    one = Session("c2d9-prices", "/home/ada/shop")
    one.at(120, "session_started", reason="startup", model="claude-sonnet-5-5")
    one.at(
        121,
        "turn_started",
        prompt="The discount of 10 % on 200 gives 190. Find the bug and fix it.",
    )
    one.at(126, "message", content="I will look at the price module and its tests.")
    for index, name in enumerate(("prices", "cart", "totals")):
        one.run(130 + index * 2, "Read", f"/home/ada/shop/src/{name}.py", 0.01)
    one.run(140, "Grep", "discount\\(", 0.4, {"filenames": [path, "/home/ada/shop/src/cart.py"]})
    fails = one.call(150, "Bash", "pytest tests/test_prices.py -q")
    one.fail(153.4, fails, 3.4, FAILURE)
    lead = one.call(170, "Agent", "Review every caller of discount", spawns_agent=True)
    child: dict[str, Any] = {"agent_id": "ag-1", "agent_type": "reviewer"}
    one.at(171, "turn_started", **child)
    one.run(180, "Grep", "from prices import", 0.3, None, **child)
    one.run(190, "Read", "/home/ada/shop/src/cart.py", 0.02, None, **child)
    one.run(
        200,
        "Bash",
        "git log -5 --oneline src/prices.py",
        0.1,
        _printed("9f1c2ab Round totals"),
        **child,
    )
    one.at(240, "turn_finished", **child, summary="Three callers, all pass whole percents.")
    one.end(241, {**lead, "child_id": "ag-1"}, 71)
    edit = {"old_string": PRICES[1], "new_string": "    return price * (1 - percent / 100)"}
    one.run(
        300,
        "Edit",
        path,
        0.2,
        _edit(path, PRICES[1], edit["new_string"]),
        tool_input={"file_path": path, **edit},
    )
    one.run(320, "Bash", "pytest tests/test_prices.py -q", 3.1, _printed("4 passed in 2.98s"))
    commit = _printed("[fix-discount 9d02c1e] Take the percent of the price\n 2 files changed")
    one.run(350, "Bash", "git commit -am 'Take the percent of the price'", 0.2, commit)
    one.at(
        700,
        "turn_started",
        prompt="Good. Now run all tests, and let somebody else look at the docs.",
    )
    docs = one.call(705, "Agent", "Check the documentation", spawns_agent=True)
    other: dict[str, Any] = {"agent_id": "ag-2", "agent_type": "general-purpose"}
    one.at(706, "turn_started", **other)
    one.run(740, "Read", "/home/ada/shop/docs/prices.md", 0.03, None, **other)
    one.call(LENGTH_S - 11, "Bash", "grep -rn percent docs/", **other)
    assert docs["spawns_agent"]
    one.at(790, "message", content="While another agent reads the docs, I run the whole suite.")
    one.call(LENGTH_S - 42, "Bash", "make test")
    one.usage(795, 152_400, 11_800, 0.74)
    return one


def failed() -> Session:
    """The model refused: nothing goes on until a person looks."""
    one = Session("019a-manual", "/home/ada/manual", "Codex")
    one.at(600, "session_started", reason="startup", model="gpt-5.5")
    one.at(601, "turn_started", prompt="Rewrite the chapter on installing")
    one.run(612, "Bash", "ls docs", 0.1, "install.md\nusage.md\n")
    one.at(640, "error", error="rate_limit", message="The model is busy: try again in 20 minutes")
    return one


def idle() -> Session:
    one = Session("55e0-icons", "/home/ada/website")
    one.at(200, "session_started", reason="startup", model="claude-sonnet-5-5")
    one.at(201, "turn_started", prompt="Make the icons fit the dark theme")
    for index in range(6):
        one.run(210 + index * 12, "Edit", f"/home/ada/website/icons/icon-{index}.svg", 0.1)
    one.at(380, "message", content="All six icons use currentColor now.")
    one.at(381, "turn_finished", summary="All six icons use currentColor now.")
    one.usage(382, 22_100, 1_700, 0.09)
    return one


def finished(id: str, at: float, task: str, folder: str = "/home/ada/shop") -> Session:
    one = Session(id, folder)
    one.at(at, "session_started", reason="startup")
    one.at(at + 1, "turn_started", prompt=task)
    for index in range(3):
        one.run(at + 4 + index, "Bash", f"python manage.py check --step {index}", 0.6)
    one.at(at + 10, "turn_finished", summary="Done.")
    one.at(at + 11, "session_finished", reason="prompt_input_exit")
    return one


def sessions(number: int) -> Iterator[Session]:
    """The first is at work; from five on there is one of each state."""
    yield working()
    if number == 1:
        return
    yield from (waiting(), failed(), idle(), finished("e771-flags", 60, TASKS[4]))
    rng = random.Random(7)
    for index in range(number - 5):
        id = f"{rng.randrange(16**4):04x}-{index}"
        if index % 3 == 0:
            one = Session(id, f"/home/ada/{rng.choice(['shop', 'website', 'api'])}")
            one.at(300 + index, "turn_started", prompt=TASKS[index % 5])
            for step in range(rng.randrange(1, 30)):
                one.run(
                    310 + step * 9 + rng.random(),
                    rng.choice(["Read", "Grep", "Bash"]),
                    f"src/module_{step}.py",
                    0.3,
                )
            one.call(LENGTH_S - rng.randrange(2, 50), "Bash", "npm run build")
            yield one
        else:
            yield finished(id, 100 + index * 8, TASKS[index % 5])


def agents_at_work(number: int) -> list[Scene]:
    """The scenes of so many sessions, in the order of time."""
    scenes = [scene for session in sessions(number) for scene in session.scenes]
    return sorted(scenes, key=lambda scene: scene[0])


def film_past() -> list[Scene]:
    """What was before the film: its times are seconds before the beginning."""
    icons = Session("55e0-icons", "/home/ada/website")
    icons.at(-900, "session_started", reason="startup", model="claude-sonnet-5-5")
    icons.at(-899, "turn_started", prompt="Make the icons fit the dark theme")
    for index in range(6):
        icons.run(-890 + index * 12, "Edit", f"/home/ada/website/icons/icon-{index}.svg", 0.1)
    icons.at(-700, "message", content="All six icons use currentColor now.")
    icons.at(-699, "turn_finished", summary="All six icons use currentColor now.")
    icons.usage(-698, 22_100, 1_700, 0.09)
    flags = finished("e771-flags", -1800, TASKS[4])
    return sorted([*flags.scenes, *icons.scenes], key=lambda scene: scene[0])


def film() -> list[Scene]:
    """Half a minute of two agents: one mends a bug and asks for leave to push, one meets a busy model."""
    path = "/home/ada/shop/src/prices.py"
    one = Session("c2d9-prices", "/home/ada/shop")
    one.at(1, "session_started", reason="startup", model="claude-sonnet-5-5")
    one.at(1, "turn_started", prompt="The discount of 10 % on 200 gives 190. Fix it and push.")
    one.at(2, "message", content="I will look at the price module and its tests.")
    for index, name in enumerate(("prices", "cart", "totals", "orders")):
        one.run(2.5 + index / 2, "Read", f"/home/ada/shop/src/{name}.py", 0.02)
    fails = one.call(5, "Bash", "pytest tests/test_prices.py -q")
    one.fail(7.5, fails, 2.5, FAILURE)
    lead = one.call(8.5, "Agent", "Review every caller of discount", spawns_agent=True)
    child: dict[str, Any] = {"agent_id": "ag-1", "agent_type": "reviewer"}
    one.at(8.6, "turn_started", **child)
    one.run(9, "Grep", "from prices import", 0.4, None, **child)
    one.run(10, "Read", "/home/ada/shop/src/cart.py", 0.4, None, **child)
    one.at(11, "turn_finished", **child, summary="Three callers, all pass whole percents.")
    one.end(11.1, {**lead, "child_id": "ag-1"}, 2.6)
    edit = {"old_string": PRICES[1], "new_string": "    return price * (1 - percent / 100)"}
    edited = _edit(path, PRICES[1], edit["new_string"])
    one.run(12, "Edit", path, 0.2, edited, tool_input={"file_path": path, **edit})
    one.run(12.5, "Bash", "pytest tests/test_prices.py -q", 1.5, _printed("4 passed in 1.31s"))
    commit = _printed("[main 9d02c1e] Take the percent of the price\n 2 files changed")
    one.run(14.3, "Bash", "git commit -am 'Take the percent of the price'", 0.2, commit)
    one.usage(14.8, 84_300, 6_100, 0.38)
    push = one.call(15, "Bash", "git push origin main")
    asked = {key: push[key] for key in ("tool_name", "summary", "tool_input")}
    one.at(15.1, "attention_needed", reason="permission", **asked)
    one.end(
        28, push, 1.1, _printed("To github.com:ada/shop.git\n   4be81f2..9d02c1e  main -> main")
    )
    one.at(28.5, "message", content="The discount is mended and pushed.")
    one.at(29, "turn_finished", summary="The discount is mended and pushed.")
    two = Session("019a-manual", "/home/ada/manual", "Codex")
    two.at(4, "session_started", reason="startup", model="gpt-5.5")
    two.at(4, "turn_started", prompt="Rewrite the chapter on installing")
    for index, name in enumerate(("install", "usage", "upgrade")):
        two.run(5.5 + index, "Bash", f"sed -n 1,80p docs/{name}.md", 0.3, "# A chapter\n")
    two.at(13, "error", error="rate_limit", message="The model is busy: try again in 20 minutes")
    return sorted([*one.scenes, *two.scenes], key=lambda scene: scene[0])
