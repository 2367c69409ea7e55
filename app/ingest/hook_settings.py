"""The hooks in an agent's settings, a JSON file: put in, and taken out again. Pure.

Several agents have the same nesting: `{"hooks": {EVENT: [{"hooks": [HOOK, …]}, …]}}`.
"""

import json
import re
import shlex
from collections.abc import Mapping

import msgspec

Fields = dict[str, object]


class Place(msgspec.Struct, frozen=True):
    """Where an agent reads its settings: a folder in the home or project, and the files in it.

    The environment variable `variable` names another folder in place of the home's.
    """

    variable: str
    folder: str
    user: str
    project: str


class Gateway(msgspec.Struct, frozen=True):
    """Where hooks post to, and what they show. `header_file` holds the header for commands."""

    url: str
    token: str
    header_file: str


class SettingsFormatError(Exception):
    """The settings are not what their agent could read; the message says what is wrong."""


def command_hook(gateway: Gateway, timeout: int) -> Fields:
    """A hook that posts its standard input, says nothing and never fails.

    The credential stands in a file: a command line is for all eyes of the machine.
    """
    header, url = shlex.quote(f"@{gateway.header_file}"), shlex.quote(gateway.url)
    command = (
        f"curl -s -m 1 -o /dev/null -H 'Content-Type: application/json' -H {header}"
        f" --data-binary @- {url} || true"
    )
    return {"type": "command", "command": command, "timeout": timeout}


def with_hooks(text: str, hooks: Mapping[str, Fields], path: str) -> str:
    """The settings with these hooks, in place of those that post to `path` of any gateway.

    Raises:
        SettingsFormatError: the settings are no JSON object, or their hooks are not nested as above.
    """
    settings = _parse(without_hooks(text, path)) if text.strip() else {}
    by_event = settings.setdefault("hooks", {})
    if not isinstance(by_event, dict):
        raise SettingsFormatError('"hooks" is not an object')
    for event, hook in hooks.items():
        groups = by_event.setdefault(event, [])
        if not isinstance(groups, list):
            raise SettingsFormatError(f'"hooks.{event}" is not an array')
        groups.append({"hooks": [hook]})
    return _format(settings, text)


def without_hooks(text: str, path: str) -> str:
    """The settings without the hooks that post to `path`; the text as it is where there are none.

    Raises:
        SettingsFormatError: the settings are no JSON object.
    """
    settings = _parse(text) if text.strip() else {}
    by_event = settings.get("hooks")
    if not isinstance(by_event, dict):
        return text
    found = False
    for event, groups in list(by_event.items()):
        if not isinstance(groups, list):
            continue
        kept = [group for group in groups if not _is_empty_without(group, path)]
        if any(_take_out(group, path) for group in kept) or len(kept) < len(groups):
            found = True
            by_event[event] = kept
            if not kept:
                del by_event[event]
    if found and not by_event:
        del settings["hooks"]
    return _format(settings, text) if found else text


def _is_empty_without(group: object, path: str) -> bool:
    hooks = group.get("hooks") if isinstance(group, dict) else None
    return isinstance(hooks, list) and bool(hooks) and all(_posts_to(h, path) for h in hooks)


def _take_out(group: object, path: str) -> bool:
    hooks = group.get("hooks") if isinstance(group, dict) else None
    if not isinstance(group, dict) or not isinstance(hooks, list):
        return False
    group["hooks"] = [hook for hook in hooks if not _posts_to(hook, path)]
    return len(group["hooks"]) < len(hooks)


def _posts_to(hook: object, path: str) -> bool:
    if not isinstance(hook, dict):
        return False
    place = hook.get("url") if hook.get("type") == "http" else hook.get("command")
    return isinstance(place, str) and re.search(rf"{re.escape(path)}(?![\w/-])", place) is not None


def _parse(text: str) -> Fields:
    def once(pairs: list[tuple[str, object]]) -> Fields:
        names = [name for name, _ in pairs]
        for name in names:
            if names.count(name) > 1:  # one of them would be lost
                raise SettingsFormatError(f'"{name}" stands there twice')
        return dict(pairs)

    try:
        settings = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=once)
    except ValueError as error:
        raise SettingsFormatError(f"no JSON: {error}") from None
    except RecursionError:
        raise SettingsFormatError("nested too deep") from None
    if not isinstance(settings, dict):
        raise SettingsFormatError("not a JSON object")
    return settings


def _format(settings: Fields, like: str) -> str:
    """The settings as text, indented and ended as `like` is."""
    indent = re.search(r"\n([ \t]+)\"", like)
    text = json.dumps(settings, indent=indent[1] if indent else 2, ensure_ascii=False)
    if not like or like.endswith("\n"):
        text += "\n"
    if "\r\n" in like:
        text = text.replace("\n", "\r\n")
    return "\ufeff" + text if like.startswith("\ufeff") else text
