"""The events of spans and log records, read by the module of the agent that sent them. Pure."""

from collections.abc import Iterable, Iterator, MutableMapping

from . import claude_code_otlp, codex_otlp, gen_ai
from .otlp import Keyed, Record, Span


def read_spans(spans: Iterable[Span], sessions: MutableMapping[str, str]) -> Iterator[list[Keyed]]:
    """The events of each span of one request; `sessions` as in `gen_ai.read_spans`."""
    of_claude: list[Span] = []
    others: list[Span] = []
    for span in spans:
        (of_claude if span.scope == claude_code_otlp.SPAN_SCOPE else others).append(span)
    yield from claude_code_otlp.read_spans(of_claude)
    yield from gen_ai.read_spans(others, sessions)


def read_record(record: Record) -> list[Keyed]:
    """The events of one log record; none for those of other programs."""
    if record.scope == claude_code_otlp.LOG_SCOPE:
        return claude_code_otlp.read_record(record)
    if record.scope.startswith(codex_otlp.LOG_SCOPE):
        return codex_otlp.read_record(record)
    return []
