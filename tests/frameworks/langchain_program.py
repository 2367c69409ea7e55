"""Agents of LangChain and LangGraph on a fake model. Its argument is the recipe, run first."""

import sys
from contextlib import suppress
from uuid import UUID

from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, interrupt

USAGE = {
    "input_tokens": 10,
    "output_tokens": 5,
    "total_tokens": 15,
    "input_token_details": {"cache_read": 3},
}


def call(name, tool_use_id, **arguments):
    calls = [{"name": name, "args": arguments, "id": tool_use_id}]
    return AIMessage("", tool_calls=calls, usage_metadata=USAGE)


def say(text):
    return AIMessage(text, usage_metadata=USAGE)


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


@tool
def bank(amount: int) -> str:
    """Fail."""
    raise ValueError("no answer from the bank")


@tool
def stop() -> str:
    """Stop as Ctrl-C does."""
    raise KeyboardInterrupt


@tool
def ask(question: str) -> str:
    """Ask a person."""
    return interrupt(question)


@tool
def scout(city: str) -> str:
    """Let another agent look."""
    return sub.invoke({"messages": [("user", f"Look at {city}")]})["messages"][-1].content


def graph(name, *answers, tools=(weather, bank, ask, scout, stop), handle_errors=False):
    model = FakeMessagesListChatModel(responses=list(answers))
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", ToolNode(list(tools), handle_tool_errors=handle_errors))
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", tools_condition)
    builder.add_edge("tools", "model")
    return builder.compile(checkpointer=InMemorySaver(), name=name)


def options(number):
    return {"callbacks": handlers, "run_id": UUID(int=number)}


sub = graph("scout_agent", call("weather", "s-1", city="Oslo"), say("sunny")).with_config(
    configurable={"thread_id": "inside"}
)
agent = graph(
    "ada", call("weather", "c-1", city="Rome"), call("scout", "c-2", city="Oslo"), say("done")
)
names = {"agent": agent}
exec(sys.argv[1], names)
handlers = names["config"]["callbacks"]

asking = graph("ada", call("ask", "c-3", question="Really?"), say("done"))
for thread, answer in (("answered", "yes"), ("waiting", None)):
    there = {"callbacks": handlers, "configurable": {"thread_id": thread}}
    asking.invoke({"messages": [("user", "Go")]}, there)
    if answer:
        asking.invoke(Command(resume=answer), there)

plain = RunnableLambda(lambda text: bank.invoke({"amount": 1}))
with suppress(ValueError):
    plain.invoke("pay", options(1))
with suppress(KeyboardInterrupt):
    RunnableLambda(lambda text: stop.invoke({})).invoke("stop", options(2))
chain = FakeMessagesListChatModel(responses=[say("hello")]) | (lambda message: message.content)
chain.invoke("hey", options(3))
