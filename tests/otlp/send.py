"""An agent with a sub-agent, as spans of the Python SDK, and a log record of a request to a model."""

import os
import time

from opentelemetry._logs import LogRecord
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import StatusCode

session = os.environ["SESSION"]
spans = TracerProvider()
spans.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))  # each in a request of its own
tracer = spans.get_tracer("test")
lead = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "lead"}
ask = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "ask_reader"}
reader = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "reader"}
read = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "read_file"}
chat = {
    "gen_ai.operation.name": "chat",
    "gen_ai.response.model": "small",
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.usage.output_tokens": 3,
}


def of_session(attributes: dict[str, str]) -> dict[str, str]:
    return {**attributes, "gen_ai.conversation.id": session}


with (
    tracer.start_as_current_span("invoke_agent lead", attributes=of_session(lead)),
    tracer.start_as_current_span("execute_tool ask_reader", attributes=of_session(ask)),
    tracer.start_as_current_span("invoke_agent reader", attributes=of_session(reader)),
    tracer.start_as_current_span("a step"),
):
    with tracer.start_as_current_span("chat small", attributes={**of_session({}), **chat}):
        pass
    with tracer.start_as_current_span("execute_tool read_file", attributes=read) as failing:
        failing.set_status(StatusCode.ERROR, "no such file")
spans.shutdown()

logs = LoggerProvider()
logs.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter()))
logs.get_logger("com.anthropic.claude_code.events").emit(
    LogRecord(
        timestamp=time.time_ns(),
        body="claude_code.api_request",
        attributes={
            "event.name": "api_request",
            "session.id": f"{session}-logs",
            "request_id": "req-1",
            "input_tokens": 4,
            "output_tokens": 21,
            "cost_usd": 0.5,
        },
    )
)
logs.shutdown()
