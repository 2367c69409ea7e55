"""One process or none: siblings are refused with the reason."""

import multiprocessing
from pathlib import Path

from app.errors import SettingsError
from app.workers import only_worker
from tests.waiting import WATCHDOG_S


def hold(state_dir: Path, first: object, done: object) -> None:
    with only_worker(state_dir):
        first.set()
        done.wait(10)


def try_to_hold(state_dir: Path, answer: object) -> None:
    try:
        with only_worker(state_dir):
            answer.put("held")
    except SettingsError as error:
        answer.put(str(error))


def test_a_second_worker_of_one_supervisor_is_refused_with_the_remedy(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    holding, done, answer = context.Event(), context.Event(), context.Queue()
    first = context.Process(target=hold, args=(tmp_path, holding, done))
    first.start()
    assert holding.wait(20)
    second = context.Process(target=try_to_hold, args=(tmp_path, answer))
    second.start()
    said = answer.get(timeout=WATCHDOG_S)
    done.set()
    first.join(10)
    second.join(10)
    assert "start exactly one" in said
    assert list(tmp_path.iterdir()) == []


def test_a_process_without_a_supervisor_has_no_siblings(tmp_path: Path) -> None:
    with only_worker(tmp_path), only_worker(tmp_path):
        assert list(tmp_path.iterdir()) == []
