"""Agents of the OpenAI Agents SDK on its scripted model. Its argument is the recipe, run first."""

import asyncio
import sys
from itertools import count

from agents import Agent, RunConfig, Runner, function_tool
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from agents.usage import Usage

exec(sys.argv[1])


def model(*steps):
    scripted = ScriptedModel(
        [step if isinstance(step, ModelStep) else list(step) for step in steps]
    )
    scripted.set_default_usage(Usage(requests=1, input_tokens=10, output_tokens=5, total_tokens=15))
    return scripted


@function_tool
def weather(city: str) -> str:
    return f"sunny in {city}"


@function_tool
def nothing() -> None:
    return None


@function_tool(failure_error_function=None)
def bank(amount: int) -> str:
    raise ValueError("no answer from the bank")


@function_tool(needs_approval=True)
def remove(path: str) -> str:
    return "gone"


waits = asyncio.Event()


@function_tool
async def wait() -> str:
    waits.set()
    await asyncio.Event().wait()
    return ""


ids = count(1)


def call(name, arguments):
    return function_call(name, arguments, call_id=f"call-{next(ids)}")


def answer(text):
    return [assistant_message(text)]


async def run(agent, name, group=None):
    return await Runner.run(
        agent, "Go", run_config=RunConfig(trace_id=f"trace_{name}", group_id=group)
    )


async def main():
    sub = Agent(
        name="Scout",
        model=model([call("weather", {"city": "Oslo"})], answer("sunny")),
        tools=[weather],
    )
    calls = [call("weather", {"city": "Rome"}), call("nothing", {})]
    ask = [call("ask_scout", {"input": "Look at Oslo"})]
    tools = [weather, nothing, sub.as_tool("ask_scout", "asks")]
    agent = Agent(name="Ada", model=model(calls, ask, answer("done"), answer("again")), tools=tools)
    await run(agent, "one", "chat-1")
    await run(agent, "two", "chat-1")

    failing = model([call("bank", {"amount": 1})])
    try:
        await run(Agent(name="Ada", model=failing, tools=[bank]), "failing")
    except Exception as error:
        print("failed:", error)
    try:
        steps = model(ModelStep.raise_error(RuntimeError("503")))
        await run(Agent(name="Ada", model=steps), "down")
    except RuntimeError as error:
        print("failed:", error)

    other = Agent(name="Bob", model=model(answer("Bob is here")))
    steps = model([call("transfer_to_bob", {})])
    await run(Agent(name="Ada", model=steps, handoffs=[other]), "handoff")

    for name, approved in (("approved", True), ("denied", False), ("waiting", None)):
        steps = model([call("remove", {"path": "/tmp/x"})], answer("done"))
        agent = Agent(name="Ada", model=steps, tools=[remove])
        result = await run(agent, name)
        state = result.to_state()
        for asked in result.interruptions:
            (state.approve if approved else state.reject)(asked)
        if approved is not None:
            await Runner.run(agent, state)

    steps = model([call("wait", {})])
    task = asyncio.ensure_future(run(Agent(name="Ada", model=steps, tools=[wait]), "cancelled"))
    await waits.wait()
    task.cancel()
    await asyncio.wait([task])


asyncio.run(main())
