"""`litestar events …` as processes, against a real gateway."""

import asyncio
import json
import os
import pty
import signal
import sys
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.kit.gateway import Gateway, Start, name
from tests.kit.http import TOKEN
from tests.kit.terminal import PATIENCE_S, PIPE, Process, line, run, sightline
from tests.kit.waiting import WATCHDOG_S, lines_of_file, until


async def listening(gateway: Gateway, process: Process) -> None:
    await until(lambda: gateway.registry.taken == 1 or process.returncode is not None, PATIENCE_S)
    assert process.returncode is None, await process.communicate()


async def ended(process: Process) -> int:
    return await asyncio.wait_for(process.wait(), WATCHDOG_S)


def read_to_the_end(terminal: int) -> bytes:
    shown = b""
    with suppress(OSError):  # how a terminal says that nobody writes to it any more
        while chunk := os.read(terminal, 65536):
            shown += chunk
    return shown


def ndjson(count: int) -> bytes:
    return b"".join(
        b'{"type":"file.created","data":{"path":"f%d"},"metadata":{"n":%d}}\n' % (i, i)
        for i in range(count)
    )


async def retained(gateway: Gateway) -> list[dict[str, Any]]:
    """What the gateway retains, oldest first."""
    events: list[dict[str, Any]] = []
    async with gateway.http() as http:
        while True:
            after = events[-1]["sequence_number"] if events else 0
            page = await http.get("/api/events", params={"after": after, "limit": 1000})
            if not (found := page.json()["events"]):
                return events
            events += found


async def kept(gateway: Gateway) -> list[object]:
    """What the gateway retains, without number and time."""
    events = await retained(gateway)
    return [{key: event[key] for key in ("type", "data", "metadata")} for event in events]


async def test_tail_shows_a_line_an_event_and_ends_at_ctrl_c(
    folder: Path, gateway: Gateway
) -> None:
    name(folder, gateway)
    async with sightline(folder, "tail", "chat.*") as tail:
        await listening(gateway, tail)
        await gateway.publisher.publish("file.deleted", {"path": "p"})
        event = await gateway.publisher.publish(
            "chat.message_sent", {"role": "u", "content": "a b"}
        )
        time = event.timestamp[11:23]
        assert await line(tail) == f'{time} #2 chat.message_sent role=u content="a b"\n'
        tail.send_signal(signal.SIGINT)
        assert await ended(tail) == 130
        assert (await tail.stderr.read()).count(b"\n") == 1  # that it is connected
    await until(lambda: gateway.registry.taken == 0)


async def test_tail_in_a_pipe_ends_when_its_reader_does(folder: Path, gateway: Gateway) -> None:
    name(folder, gateway)
    await gateway.publish(3)
    reading, writing = os.pipe()
    async with sightline(folder, "tail", "--since", "1", stdout=writing) as tail:
        os.close(writing)
        with os.fdopen(reading) as reader:
            first = await asyncio.to_thread(reader.readline)
        assert " #2 " in first
        assert await ended(tail) == 0  # though no event comes any more
        assert (await tail.stderr.read()).count(b"\n") == 1  # that it is connected


@pytest.mark.slow
async def test_tail_follows_through_a_restart(folder: Path, start: Start) -> None:
    first: Gateway = await start(journal="")
    name(folder, first)
    async with sightline(folder, "tail", "--json") as tail:
        await listening(first, tail)
        await first.publish()
        assert json.loads(await line(tail))["sequence_number"] == 1
        await first.stop()
        second: Gateway = await start(journal="")
        await second.publish()
        name(folder, second)
        assert json.loads(await line(tail))["reason"] == "epoch_changed"
        assert json.loads(await line(tail))["sequence_number"] == 1
        tail.send_signal(signal.SIGINT)
        said = (await tail.communicate())[1].decode()
        assert "trying again" in said
        assert "connected again" in said


async def test_a_terminal_gets_colours_and_lines_that_fit(folder: Path, gateway: Gateway) -> None:
    name(folder, gateway)
    ours, theirs = pty.openpty()
    async with sightline(
        folder, "tail", stdout=theirs, env={"COLUMNS": "60", "TERM": "xterm"}
    ) as tail:
        os.close(theirs)
        await listening(gateway, tail)
        await gateway.publish(1, "\x1b]0;owned\x07 " + "long " * 100)
        shown = ""
        while "…\r\n" not in shown:
            shown += (await asyncio.to_thread(os.read, ours, 4096)).decode()
    os.close(ours)
    assert "1mchat.message_sent\x1b[0m" in shown
    assert "\x1b]" not in shown  # what events hold never steers the terminal
    assert shown.endswith("…\r\n")


@pytest.mark.slow
async def test_publish_takes_fields_json_and_objects(folder: Path, gateway: Gateway) -> None:
    name(folder, gateway)
    step = ("workflow.step_completed", "workflow_id=7", "step_name=a b", "step_index:=1")
    status, out, _ = await run(folder, "publish", *step, "total_steps:=2")
    assert (status, json.loads(out)["sequence_number"]) == (0, 1)
    about = ("--data", '{"role":"u","content":"="}', "--metadata", '{"agent":"Ada"}')
    assert (await run(folder, "publish", "chat.message_sent", *about))[0] == 0
    status, out, err = await run(folder, "publish", *step, "total_steps=2")
    assert (status, out) == (1, "")
    assert "total_steps" in err
    assert "key:=value is JSON" in err
    assert err.count("\n") == 1
    assert await kept(gateway) == [
        {
            "type": "workflow.step_completed",
            "data": {"workflow_id": "7", "step_name": "a b", "step_index": 1, "total_steps": 2},
            "metadata": {},
        },
        {
            "type": "chat.message_sent",
            "data": {"role": "u", "content": "="},
            "metadata": {"agent": "Ada"},
        },
    ]


@pytest.mark.slow
async def test_publish_takes_5000_lines_from_standard_input(folder: Path, gateway: Gateway) -> None:
    name(folder, gateway)
    status, out, err = await run(folder, "publish", "-", said=ndjson(5000))
    assert (status, out) == (0, "")
    assert err == "published 5,000 events, #1 to #5000\n"
    assert [event["metadata"]["n"] for event in await kept(gateway)] == [*range(5000)]


async def test_each_line_is_published_as_soon_as_it_arrives(folder: Path, gateway: Gateway) -> None:
    name(folder, gateway)
    async with sightline(folder, "publish", "chat.message_sent", "-", stdin=PIPE) as process:
        for number in range(1, 4):
            process.stdin.write(b'{"role":"u","content":"c"}\n')
            await until(lambda number=number: gateway.bus.head == number, PATIENCE_S)
        process.stdin.write(b'{"role":"u","content":"no line end"}')
        process.stdin.close()
        assert await ended(process) == 0
        assert gateway.bus.head == 4


@pytest.mark.slow
async def test_a_bad_line_is_named_and_all_before_it_are_published(
    folder: Path, gateway: Gateway
) -> None:
    name(folder, gateway)
    good = ndjson(3)
    for bad, why in (
        (b'{"type":"file.created","data":{}}\n', "path"),
        (b'{"type":"file.created","data":[]}\n', "is not an event"),
        (b"{\n", "is not an event"),
    ):
        before = gateway.bus.head
        status, _, err = await run(folder, "publish", "-", said=good + b"\n" + bad + good)
        assert status == 1
        assert "line 5" in err
        assert why in err
        assert gateway.bus.head == before + 3


@pytest.mark.slow
async def test_long_input_shows_its_progress_in_a_terminal(folder: Path, gateway: Gateway) -> None:
    name(folder, gateway)
    (folder / "many").write_bytes(ndjson(5000))
    ours, theirs = pty.openpty()
    with (folder / "many").open() as many:
        async with sightline(folder, "publish", "-", stdin=many, stderr=theirs):
            os.close(theirs)
            shown = await asyncio.to_thread(read_to_the_end, ours)
    os.close(ours)
    assert b"%" in shown
    assert b"published 5,000 events" in shown


@pytest.mark.slow
async def test_a_recording_replays_the_same_events(folder: Path, start: Start) -> None:
    first: Gateway = await start(extra_namespaces=("deploy",))
    name(folder, first)
    async with sightline(folder, "record", "session.jsonl") as record:
        await listening(first, record)
        await first.publisher.publish(
            "chat.message_sent", {"role": "u", "content": "é\u2028\n", "x": [1]}
        )
        await first.publisher.publish("deploy.done", {"at": {"deep": None}}, {"agent": "Ada"})
        await first.publish(200)
        recording = folder / "session.jsonl"
        await asyncio.to_thread(lines_of_file, recording, 202)
        record.send_signal(signal.SIGTERM)
        assert await ended(record) == 0
        assert (await record.stderr.read()).endswith(b"recorded 202 events\n")
    recorded = await kept(first)
    await first.stop()
    second: Gateway = await start(extra_namespaces=("deploy",), state_dir=folder / "other")
    name(folder, second)
    status, _, err = await run(folder, "replay", "session.jsonl", "--speed", "1000")
    assert status == 0, err
    assert "replayed 202 of 202 events" in err
    assert await kept(second) == recorded
    status, _, err = await run(folder, "record", "session.jsonl")
    assert (status, "exists: move it away" in err) == (1, True)


@pytest.mark.parametrize("how", ["record", "tail"])
async def test_events_about_the_recording_itself_are_left_out_and_counted(
    folder: Path, gateway: Gateway, how: str
) -> None:
    name(folder, gateway)
    target = folder / "logs" / "session.jsonl"
    target.parent.mkdir()
    words = ("record", "logs/session.jsonl") if how == "record" else ("tail", "--json")
    with target.open("wb") if how == "tail" else nullcontext() as out:
        async with sightline(folder, *words, stdout=out or PIPE) as process:
            await listening(gateway, process)
            source = {"source": "workspace"}
            for path, metadata in (
                ("logs/session.jsonl", source),  # as each line makes the watcher say
                ("session.jsonl", source),  # if the watched folder is `logs`
                ("other/session.jsonl", source),
                ("logs/session.jsonl", {"source": "elsewhere"}),
            ):
                data = {"path": path, "is_directory": False, "size": 1}
                await gateway.publisher.publish("file.modified", data, metadata)
            written = await asyncio.to_thread(lines_of_file, target, 2)
            process.send_signal(signal.SIGINT)
            said = (await process.communicate())[1].decode()
    assert [json.loads(line)["sequence_number"] for line in written] == [3, 4]
    assert "left out 2 about this file" in said


@pytest.mark.parametrize(("words", "status"), [(("tail",), 130), (("record", "r"), 0)])
async def test_ctrl_c_pressed_often_ends_a_command_as_one_does(
    folder: Path, gateway: Gateway, words: tuple[str, ...], status: int
) -> None:
    name(folder, gateway)
    async with sightline(folder, *words) as process:
        for _ in words:  # a recording says a second line
            assert await asyncio.wait_for(process.stderr.readline(), PATIENCE_S)
        process.send_signal(signal.SIGINT)
        await until(lambda: gateway.registry.taken == 0)  # it has begun to end
        for _ in range(3):
            process.send_signal(signal.SIGINT)
        said = (await process.communicate())[1].decode()
    assert process.returncode == status
    assert "Traceback" not in said


@pytest.mark.slow
async def test_tail_says_at_once_what_it_is_connected_to_and_from_where(
    folder: Path, gateway: Gateway
) -> None:
    name(folder, gateway)
    await gateway.publish(3)
    for since, start in (((), 3), (("--since", "1"), 1)):
        async with sightline(folder, "tail", "chat.*", *since) as tail:
            said = (await asyncio.wait_for(tail.stderr.readline(), PATIENCE_S)).decode()
            assert said == (
                f"connected to http://127.0.0.1:{gateway.port},"
                f" listening for chat.* after event #{start}\n"
            )


@pytest.mark.slow
async def test_a_replay_checks_the_whole_file_before_it_begins(
    folder: Path, gateway: Gateway
) -> None:
    name(folder, gateway)
    (folder / "r").write_bytes(ndjson(2) + b'{"message":"no event"}\n')
    status, _, err = await run(folder, "replay", "r", "--rate", "100")
    assert (status, gateway.bus.head) == (1, 0)
    assert "r, line 3 is not an event" in err
    (folder / "r").write_bytes(ndjson(2))
    status, _, err = await run(folder, "replay", "r")
    assert (status, gateway.bus.head) == (1, 0)
    assert "line 1 has no timestamp: replay with --rate" in err


async def test_a_replay_keeps_its_rate(folder: Path, gateway: Gateway) -> None:
    name(folder, gateway)
    (folder / "r").write_bytes(ndjson(21))
    status, _, err = await run(folder, "replay", "r", "--rate", "40")
    assert (status, gateway.bus.head) == (0, 21)
    assert 0.5 <= float(err.split(" in ")[1].split()[0]) < 5


@pytest.mark.attack
async def test_a_month_of_22018_events_replays_whole_and_every_client_gets_it(
    folder: Path, gateway: Gateway
) -> None:
    name(folder, gateway)
    (folder / "month.jsonl").write_bytes(ndjson(22_018))
    numbers: list[int] = []

    async def listen() -> None:
        async with gateway.connect() as client:
            while len(numbers) < 22_018:
                message = json.loads(await client.recv())
                assert message["type"] != "gap"
                if "." in message["type"]:
                    numbers.append(message["sequence_number"])

    async with asyncio.timeout(60):
        listening = asyncio.create_task(listen())
        await until(lambda: gateway.bus.subscriptions == 1)
        status, _, err = await run(folder, "replay", "month.jsonl", "--rate", "4000")
        assert (status, "replayed 22,018 of 22,018 events" in err) == (0, True)
        await listening
    assert numbers == list(range(1, 22_019))


async def test_types_lists_them_without_a_gateway(tmp_path: Path) -> None:
    status, out, _ = await run(tmp_path, "types")
    assert status == 0
    assert any(
        line.split()[:4] == ["workflow.started", "workflow_id", "workflow_name", "[project]"]
        for line in out.splitlines()
    )


@pytest.mark.slow
async def test_without_a_gateway_every_command_says_what_to_do(tmp_path: Path) -> None:
    for words in (["tail"], ["publish", "chat.message_sent", "a=b"], ["record", "x"]):
        status, out, err = await run(tmp_path, *words)
        assert (status, out) == (1, "")
        assert "start the gateway here" in err
    assert not (tmp_path / "x").exists()


async def test_without_the_client_a_command_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['sightline_client'] = None;"
        "from sightline.cli.events import events; events(['tail'])"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=tmp_path, stderr=PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    assert process.returncode == 1
    assert b"pip install 'sightline-gateway[terminal]'" in err


async def test_the_environment_names_another_gateway(tmp_path: Path, gateway: Gateway) -> None:
    environ = {
        "SIGHTLINE_URL": f"http://127.0.0.1:{gateway.port}",
        "SIGHTLINE_SESSION_TOKEN": TOKEN,
    }
    words = ("publish", "chat.message_sent", "role=u", "content=c")
    async with sightline(tmp_path, *words, env=environ) as process:
        assert await ended(process) == 0
    assert gateway.bus.head == 1


async def fill_history(gateway: Gateway) -> None:
    for number in range(1, 121):
        await gateway.publish(1, f"needle {number}" if number % 50 == 0 else "hay")


@pytest.mark.slow
async def test_tail_since_a_time_shows_the_history_first_then_live_without_a_seam(
    folder: Path, start: Start
) -> None:
    gateway: Gateway = await start(replay_max_events=20, replay_limit=10)
    name(folder, gateway)
    await fill_history(gateway)
    async with sightline(folder, "tail", "--json", "--since", "30m") as tail:
        found = [json.loads(await line(tail)).get("sequence_number") for _ in range(60)]
        await gateway.publish(5)
        found += [json.loads(await line(tail)).get("sequence_number") for _ in range(65)]
        said = (await tail.stderr.readline()).decode()
    assert found == [*range(1, 126)]
    assert said.endswith("listening for every event after event #0\n")
    async with sightline(folder, "tail", "--since", "tomorrow") as tail:
        assert await ended(tail) == 1
        said = (await tail.stderr.read()).decode()
    assert "since: 'tomorrow' is not a time" in said
    assert "an age such as 2h or 7d" in said


@pytest.mark.slow
async def test_an_open_tail_goes_on_over_a_clean_restart_without_a_gap(
    folder: Path, start: Start
) -> None:
    first: Gateway = await start(replay_max_events=5, replay_limit=5)
    name(folder, first)
    async with sightline(folder, "tail", "--json") as tail:
        await listening(first, tail)
        await first.publish(2)
        await first.stop()
        second: Gateway = await start(replay_max_events=5, replay_limit=5)
        await second.publish(20)
        name(folder, second)
        found = [json.loads(await line(tail)).get("sequence_number") for _ in range(22)]
    assert found == [*range(1, 23)]


@pytest.mark.slow
async def test_history_finds_words_and_says_how_many_and_where_it_begins(
    folder: Path, gateway: Gateway
) -> None:
    name(folder, gateway)
    await fill_history(gateway)
    status, out, err = await run(folder, "history", "--q", "needle", "--order", "desc")
    assert status == 0, err
    assert [shown.split()[1] for shown in out.splitlines()] == ["#100", "#50"]
    assert [said.split(" at ")[0] for said in err.splitlines()] == [
        "the history begins",
        "2 events of 2 that match needle",
    ]
    status, out, err = await run(folder, "history", "--json", "--limit", "3", "--type", "chat.*")
    assert [json.loads(shown)["sequence_number"] for shown in out.splitlines()] == [1, 2, 3]
    assert "3 events; there are more" in err
    status, out, err = await run(folder, "history", "--q", "nowhere")
    assert (status, out, "0 events of 0 that match nowhere" in err) == (0, "", True)


@pytest.mark.slow
async def test_a_recording_of_the_journal_is_replayed(folder: Path, gateway: Gateway) -> None:
    name(folder, gateway)
    await fill_history(gateway)
    status, _, err = await run(folder, "record", "past.jsonl", "--since", "1h", "--until", "0s")
    assert (status, err) == (0, "recorded 120 events\n")
    written = (folder / "past.jsonl").read_text().splitlines()
    assert [json.loads(shown)["sequence_number"] for shown in written] == [*range(1, 121)]
    status, _, err = await run(folder, "replay", "past.jsonl", "--speed", "1000")
    assert (status, gateway.bus.head) == (0, 240), err


async def test_without_a_journal_sessions_are_read_from_what_is_retained(
    folder: Path, start: Start
) -> None:
    gateway: Gateway = await start(journal="")
    name(folder, gateway)
    for number in range(3):
        await gateway.publisher.publish("agent.turn_started", {"session_id": f"s{number}"})
    status, out, err = await run(folder, "sessions", "--json")
    assert status == 0, err
    assert {session["session_id"] for session in json.loads(out)} == {"s0", "s1", "s2"}


@pytest.mark.slow
async def test_what_needs_a_journal_says_so(folder: Path, start: Start) -> None:
    name(folder, await start(journal=""))
    for words in (("history",), ("tail", "--since", "2h"), ("record", "x", "--until", "1s")):
        status, out, err = await run(folder, *words)
        assert (status, out) == (1, "")
        assert "this gateway has none: set SIGHTLINE_JOURNAL" in err
    assert not (folder / "x").exists()
