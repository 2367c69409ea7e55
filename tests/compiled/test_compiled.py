"""Run by `make test-compiled` alone: what these tests import is compiled."""

import importlib
from pathlib import Path

import pytest

from app.auth.publishing import HeldPublisher
from app.channels.publisher import EventPublisher
from hatch_build import HOT

BASE = "sightline.channels"


@pytest.mark.parametrize("name", HOT)
def test_each_hot_module_is_compiled_under_its_installed_name(name: str) -> None:
    module = importlib.import_module(f"{BASE}.{name}")
    path = Path(module.__file__ or "")
    assert path.suffix == ".so"
    assert module.__name__ == f"{BASE}.{name}"
    assert path.with_name(f"{name}.py").is_file(), "for tracebacks"
    assert importlib.import_module(f"app.channels.{name}") is module


def test_what_is_not_hot_is_interpreted() -> None:
    queue = importlib.import_module(f"{BASE}.queue")
    assert Path(queue.__file__ or "").suffix == ".py"


def test_an_interpreted_publisher_is_a_compiled_publisher() -> None:
    assert issubclass(HeldPublisher, EventPublisher)
