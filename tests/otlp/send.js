// An agent with a sub-agent, as spans of the JavaScript SDK. FORMAT is json or protobuf.
import { ROOT_CONTEXT, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter as Json } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as Protobuf } from "@opentelemetry/exporter-trace-otlp-proto";
import { BasicTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";

const exporter = process.env.FORMAT === "json" ? new Json() : new Protobuf();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const tracer = provider.getTracer("test");
const session = { "gen_ai.conversation.id": process.env.SESSION };

function begin(context, name, attributes) {
  const span = tracer.startSpan(name, { attributes }, context);
  return [span, trace.setSpan(context, span)];
}

const of = (operation, more) => ({ "gen_ai.operation.name": operation, ...session, ...more });
const [lead, inLead] = begin(ROOT_CONTEXT, "invoke_agent lead", of("invoke_agent", { "gen_ai.agent.name": "lead" }));
const [ask, inAsk] = begin(inLead, "execute_tool ask_reader", of("execute_tool", { "gen_ai.tool.name": "ask_reader" }));
const [reader, inReader] = begin(inAsk, "invoke_agent reader", of("invoke_agent", { "gen_ai.agent.name": "reader" }));
const [step, inStep] = begin(inReader, "a step", {});
const [chat] = begin(inStep, "chat small", of("chat", {
  "gen_ai.response.model": "small", "gen_ai.usage.input_tokens": 12, "gen_ai.usage.output_tokens": 3,
}));
chat.end();
await provider.forceFlush(); // the first request names the session; each span is a request of its own
const [read] = begin(inStep, "execute_tool read_file", { "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "read_file" });
read.setStatus({ code: SpanStatusCode.ERROR, message: "no such file" });
for (const span of [read, step, reader, ask, lead]) span.end();
await provider.forceFlush();
await provider.shutdown();
