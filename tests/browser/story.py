"""A quarter of an hour of agents at work, made up, for pictures: `(seconds, type, data, metadata)`."""

import random
from collections.abc import Iterator
from typing import Any

Scene = tuple[float, str, dict[str, Any], dict[str, Any]]
LENGTH_S = 14 * 60.0

COMMITS = [
    (
        "Developer",
        "Let the feed fold the files of one commit",
        ["feed", "view", "sentences", "rows"],
    ),
    ("Developer", "Bound what the feed remembers, and say what it folded away", ["feed", "panel"]),
    ("Tester", "Test that a gap stands where the loss is", ["gap_test", "replay_test", "vectors"]),
    ("Developer", "Read the retained events before the live ones", ["history", "console"]),
    ("Writer", "Describe the console for people who never saw it", ["console", "index", "keys"]),
    ("Developer", "Keep the filter in the address", ["filters", "controls", "filters_test"]),
]
PLAN = ["Collect requirements", "Interview users", "Draft the PRD", "Review with team", "Publish"]
BUILD = ["install", "lint", "types", "unit tests", "browser tests", "package"]
ANSWER = (
    "I would keep the filter on the client: the feed holds 20,000 events, a change of the filter"
    " takes a few milliseconds, and nothing that was filtered out has to be asked for again."
)
DRAFT = "The third draft is in docs/prd.md. What changed: the"


def scenes() -> list[Scene]:
    """All of it, in the order of time; the same at every call."""
    rng = random.Random(1)  # nobody works on the full second
    together = [*_workflows(), *_development(), *_talk(), *_end()]
    moved = ((at + rng.random() / 25, *rest) for at, *rest in together)
    return sorted(moved, key=lambda scene: scene[0])


def past() -> list[Scene]:
    """What happened in the nine days before, in the order of time."""
    rng = random.Random(2)
    scenes: list[Scene] = []
    for day in range(9, 0, -1):
        for number, (author, message, names) in enumerate(COMMITS):
            at = -86_400.0 * day + number * 3600
            for name in names:
                data = {"path": f"src/{name}.js", "size": rng.randrange(900, 9000)}
                scenes.append((at - 1, "file.modified", data, {"source": "workspace"}))
            commit = {"commit_hash": f"{rng.randrange(16**40):040x}", "files_changed": len(names)}
            commit |= {"message": message, "author": author}
            scenes.append((at, "git.commit_created", commit, {"source": "git"}))
    return [*scenes, *_night(rng)]


def _night(rng: random.Random) -> Iterator[Scene]:
    """Three agents that worked while nobody looked."""
    tasks = ["Port the parser", "Fix the flaky test", "Write the release notes"]
    for number, (agent, task) in enumerate(
        zip(["Developer", "Tester", "Writer"], tasks, strict=True)
    ):
        began = -9 * 3600.0 + number * 4000
        session = {"session_id": f"night-{number}", "folder": "/home/ada/sightline"}
        yield began, "agent.session_started", session | {"prompt": task, "task": task}, {
            "agent": agent
        }
        for edit in range(70):
            data = {"path": f"src/part_{number}_{edit % 9}.py", "size": rng.randrange(900, 9000)}
            yield began + 40 * edit, "file.modified", data, {"agent": agent}
            if edit % 30 == 20:
                hash_ = f"{rng.randrange(16**40):040x}"
                commit = {"commit_hash": hash_, "message": f"{task}, part {edit // 30 + 1}"}
                commit |= {"author": agent, "files_changed": 9}
                yield began + 40 * edit + 1, "git.commit_created", commit, {"agent": agent}
        if number == 1:
            failed = {
                "workflow_id": "wf-night",
                "workflow_name": "Nightly",
                "error": "1 test failed",
            }
            yield began + 2700, "workflow.failed", failed, {"source": "ci"}
        yield began + 2800, "agent.session_finished", session, {"agent": agent}


def _workflows() -> Iterator[Scene]:
    plan = {"workflow_id": "wf-prd", "workflow_name": "Create PRD"}
    yield 12, "workflow.started", plan | {"project": "sightline"}, {"agent": "Architect"}
    for index, step in enumerate(PLAN[:3], 1):
        data = plan | {"step_name": step, "step_index": index, "total_steps": len(PLAN)}
        yield index * 215, "workflow.step_completed", data, {"agent": "Architect"}
    for night, began in enumerate((40.0, 330.0, 650.0)):
        build = {"workflow_id": f"wf-build-{night}", "workflow_name": "Build and test"}
        yield began, "workflow.started", build, {"source": "ci"}
        for index, step in enumerate(BUILD if night == 0 else BUILD[:4], 1):
            data = build | {"step_name": step, "step_index": index, "total_steps": len(BUILD)}
            yield began + index * 24, "workflow.step_completed", data, {"source": "ci"}
        if night == 0:
            data = {"workflow_id": "wf-build-0", "status": "success", "duration_ms": 151_000}
            yield began + 151, "workflow.finished", data, {"source": "ci"}
        if night == 1:
            error = "2 of 412 tests failed: test_resume, test_gap_is_told"
            data = {"workflow_id": "wf-build-1", "step_name": "browser tests", "error": error}
            yield began + 128, "workflow.failed", data, {"source": "ci"}


def _development() -> Iterator[Scene]:
    story = {"story_id": "5.2", "title": "Show the feed", "epic_id": "5"}
    epic = {"epic_id": "5", "title": "See what the agents do"}
    yield 60, "state.epic_created", epic, {"agent": "Planner"}
    yield 66, "state.story_created", story, {"agent": "Planner"}
    states = ["ready", "in_progress", "in_review", "done"]
    for at, before, after in zip((92, 410, 726), states, states[1:], strict=False):
        move = {"story_id": "5.2", "from_state": before, "to_state": after}
        yield at, "state.story_transitioned", move, {"agent": "Developer"}
        card = {"card_id": "5.2", "from_column": before, "to_column": after}
        yield at + 0.4, "kanban.card_moved", card, {"agent": "Planner"}
    rng = random.Random(5)
    for number, (author, message, names) in enumerate(COMMITS):
        at = 110 + number * 116.0
        folder = "docs" if author == "Writer" else "tests" if author == "Tester" else "src"
        for edit in range(3):
            data = {"path": f"{folder}/{rng.choice(names)}.js", "size": rng.randrange(900, 9000)}
            yield at + 20 * edit, "file.modified", data, {"source": "workspace"}
        for index, name in enumerate(names):
            data = {"path": f"{folder}/{name}.js", "size": rng.randrange(900, 9000)}
            yield at + 61 + index / 10, "file.modified", data, {"source": "workspace"}
        commit = {
            "commit_hash": f"{rng.randrange(16**40):040x}",
            "message": message,
            "author": author,
            "files_changed": len(names),
        }
        yield at + 62, "git.commit_created", commit, {"source": "git"}
    for index in range(24):
        data = {"path": f"dist/chunk-{index:02}.js", "size": 4000 + index}
        yield 640 + index / 50, "file.created", data, {"source": "workspace"}


def _talk() -> Iterator[Scene]:
    people = {"ceremony_id": "c-1", "ceremony_type": "stand_up"}
    team = ["Architect", "Developer", "Tester", "Planner"]
    yield 20, "ceremony.started", people | {"participants": team}, {"agent": "Planner"}
    for at, agent, said in (
        (24, "Developer", "I take the feed today; the client is merged."),
        (31, "Tester", "I will kill the gateway while it replays and see who notices."),
        (39, "Architect", "The PRD needs one more answer from the users."),
    ):
        yield at, "ceremony.message", {"ceremony_id": "c-1", "content": said}, {"agent": agent}
    summary = "Three on the console, one on the docs"
    ended = {"ceremony_id": "c-1", "summary": summary, "duration_ms": 29_000}
    yield 49, "ceremony.ended", ended, {"agent": "Planner"}
    question = "Should the filter run in the gateway or in the page?"
    asked = {"role": "user", "content": question, "agent_name": "Architect"}
    yield 780, "chat.message_sent", asked, {}
    yield 781, "chat.thinking_started", {"agent_name": "Architect"}, {}
    yield 786, "chat.thinking_finished", {"agent_name": "Architect", "duration_ms": 4800}, {}
    words = ANSWER.split(" ")
    for index in range(0, len(words), 2):
        chunk = " ".join(words[index : index + 2]) + " "
        data = {"chunk": chunk, "message_id": "m-1", "agent_name": "Architect"}
        yield 787 + index / 10, "chat.streaming_chunk", data, {}
    done = {"role": "assistant", "content": ANSWER, "agent_name": "Architect", "message_id": "m-1"}
    yield 793, "chat.message_received", done, {}


def _end() -> Iterator[Scene]:
    switch = {"mode": "write", "previous_mode": "read_only", "reason": "review passed"}
    yield 700, "session.mode_changed", switch, {"source": "supervisor"}
    yield 745, "provider.changed", {"provider": "local", "model": "small"}, {"agent": "Tester"}
    error = {"message": "disk almost full: 2 % left", "code": "ENOSPC", "component": "storage"}
    yield 812, "system.error", error, {}
    yield 826, "file.modified", {"path": "docs/prd.md", "size": 15210}, {"agent": "Architect"}
    for index, part in enumerate(DRAFT.split(" ")):
        data = {"chunk": f"{part} ", "message_id": "m-2", "agent_name": "Architect"}
        yield 830 + index / 10, "chat.streaming_chunk", data, {}
