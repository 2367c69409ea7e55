"""Reading the fields of events, whose values are anybody's. Pure."""

from collections.abc import Mapping
from datetime import datetime

Data = Mapping[str, object]


def text(data: Data, field: str) -> str | None:
    value = data.get(field)
    return value if isinstance(value, str) and value else None


def number(data: Data, field: str) -> float | None:
    value = data.get(field)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value


def moment(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()
