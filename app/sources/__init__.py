"""Producers of real events. All they know of the gateway is the publisher's `emit`."""

from collections.abc import Callable

Emit = Callable[[str, dict[str, object], dict[str, object]], None]
