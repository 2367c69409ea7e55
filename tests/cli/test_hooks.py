"""`sightline hooks install` and `uninstall`: nothing of the user's is lost, and no credential is committed."""

import json
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, strategies as st

from app.auth.proof import hook_token
from app.cli import main
from app.ingest.hook_settings import SettingsFormatError, with_hooks, without_hooks
from app.state import write_private

URL = "http://127.0.0.1:3999"
TOKEN = "session-token-0123456789"
PATH = "/api/hooks/claude-code"
HOOKS: dict[str, dict[str, object]] = {
    "Stop": {"type": "http", "url": f"{URL}{PATH}"},
    "SessionStart": {"type": "command", "command": f"curl {URL}{PATH} || true"},
}
# As people and programs write them: indented by tabs, on one line, without an end, with CRLF, a BOM.
SETTINGS = [
    "{}",
    '{"permissions": {"allow": ["Bash"]}}',
    '{\n\t"model": "small",\n\t"hooks": {}\n}\n',
    '{\r\n    "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "say done"}]}]}\r\n}\r\n',
    '\ufeff{"é": "\\u00e9"}\n\n',
    "",
    "\n",
]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, the folder of a gateway, and an agent's project, which is the current folder."""
    for variable in ("SIGHTLINE_STATE_DIR", "XDG_STATE_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for folder in ("home", "gateway/.sightline", "project"):
        (tmp_path / folder).mkdir(parents=True)
    write_private(tmp_path / "gateway/.sightline/gateway.url", URL)
    write_private(tmp_path / "gateway/.sightline/session.token", TOKEN)
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def sightline(*words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(main, ["hooks", *words], input=answer)


def install(places: Path, *words: str) -> Result:
    done = sightline("install", *words, "--gateway", str(places / "gateway"), "--yes")
    assert done.exit_code == 0, done.output
    return done


def uninstall(*words: str) -> None:
    done = sightline("uninstall", *words, "--yes")
    assert done.exit_code == 0, done.output


def everything(places: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(places.rglob("*")) if p.is_file()}


def hooks_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8-sig"))["hooks"]


@pytest.mark.parametrize("text", SETTINGS)
@pytest.mark.parametrize(
    ("words", "file"),
    [
        (("claude-code", "--user"), "home/.claude/settings.json"),
        (("claude-code", "--project"), "project/.claude/settings.local.json"),
        (("codex",), "home/.codex/hooks.json"),
        (("codex", "--project"), "project/.codex/hooks.json"),
    ],
)
def test_uninstall_leaves_every_file_byte_for_byte_as_it_was(
    places: Path, words: tuple[str, ...], file: str, text: str
) -> None:
    (places / file).parent.mkdir(parents=True)
    (places / file).write_bytes(text.encode())
    subprocess.run(["git", "init", "-q"], cwd=places / "project", check=True)
    before = everything(places)
    install(places, *words)
    assert hooks_of(places / file)["Stop"]
    install(places, *words)
    uninstall(*words)
    assert everything(places) == before


def test_uninstall_removes_what_install_made(places: Path) -> None:
    install(places, "claude-code", "--project")
    uninstall("claude-code", "--project")
    assert list((places / "project").iterdir()) == []


def test_what_else_was_changed_meanwhile_stays(places: Path) -> None:
    file = places / "home/.claude/settings.json"
    file.parent.mkdir()
    file.write_text('{"model": "small"}')
    install(places, "claude-code")
    settings = json.loads(file.read_text())
    settings["model"] = "large"
    settings["hooks"]["Stop"].append({"hooks": [{"type": "command", "command": "say done"}]})
    file.write_text(json.dumps(settings))
    install(places, "claude-code")
    uninstall("claude-code")
    stop = {"hooks": [{"type": "command", "command": "say done"}]}
    assert json.loads(file.read_text()) == {"model": "large", "hooks": {"Stop": [stop]}}


def test_hooks_answer_within_a_second_and_starts_are_asynchronous_commands(places: Path) -> None:
    install(places, "claude-code")
    found = hooks_of(places / "home/.claude/settings.json")
    for event, ((group,)) in ((event, groups) for event, groups in found.items()):
        (hook,) = group["hooks"]
        if event in ("SessionStart", "Setup"):
            assert (hook["type"], hook["async"]) == ("command", True)
        else:
            assert (hook["type"], hook["timeout"], hook["url"]) == ("http", 1, f"{URL}{PATH}")


def test_the_settings_hold_a_credential_for_hooks_alone_and_only_their_owner_may_read_it(
    places: Path,
) -> None:
    done = install(places, "claude-code")
    written = everything(places / "home")
    assert not any(TOKEN.encode() in content for content in written.values())
    assert any(hook_token(TOKEN).encode() in content for content in written.values())
    for path in written:
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert hook_token(TOKEN) not in done.output  # nor does the diff show it
    command = hooks_of(places / "home/.claude/settings.json")["SessionStart"][0]["hooks"][0][
        "command"
    ]
    assert hook_token(TOKEN) not in command  # a command line is for all eyes


def test_git_does_not_offer_the_credential_for_a_commit(places: Path) -> None:
    project = places / "project"
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    install(places, "claude-code", "--project")
    status = subprocess.run(["git", "status", "-s"], cwd=project, check=True, capture_output=True)
    assert status.stdout == b""


def test_a_settings_file_that_git_tracks_is_left_alone(places: Path) -> None:
    file = places / "project/.claude/settings.local.json"
    file.parent.mkdir()
    file.write_text("{}")
    for words in (["init", "-q"], ["add", "-f", "."]):
        subprocess.run(["git", *words], cwd=places / "project", check=True)
    done = sightline(
        "install", "claude-code", "--project", "--gateway", str(places / "gateway"), "--yes"
    )
    assert done.exit_code == 1
    assert "git tracks" in done.output
    assert file.read_text() == "{}"


def test_the_difference_is_shown_and_nothing_is_written_without_a_yes(places: Path) -> None:
    before = everything(places)
    words = ("install", "claude-code", "--gateway", str(places / "gateway"))
    for answer in ("n\n", ""):
        done = sightline(*words, answer=answer)
        assert '+    "PostToolUseFailure": [' in done.output
        assert everything(places) == before


def test_a_link_to_the_settings_stays_a_link(places: Path) -> None:
    (places / "home/dotfiles").mkdir()
    (places / "home/dotfiles/settings.json").write_text("{}")
    (places / "home/.claude").mkdir()
    link = places / "home/.claude/settings.json"
    link.symlink_to(places / "home/dotfiles/settings.json")
    install(places, "claude-code")
    assert link.is_symlink()
    assert hooks_of(link)["Stop"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "not a JSON object"),
        ("{", "no JSON"),
        ('{"a": 1, // why\n}', "no JSON"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"hooks": []}', '"hooks" is not an object'),
        ('{"hooks": {"Stop": {}}}', '"hooks.Stop" is not an array'),
    ],
)
def test_settings_that_no_agent_could_read_are_left_alone(
    places: Path, text: str, says: str
) -> None:
    file = places / "home/.claude/settings.json"
    file.parent.mkdir()
    file.write_text(text)
    done = sightline("install", "claude-code", "--gateway", str(places / "gateway"), "--yes")
    assert done.exit_code == 1
    assert says in done.output
    assert file.read_text() == text


def test_without_a_gateway_it_says_what_to_do(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.cli.hooks.CHECKOUT", places / "nowhere")
    done = sightline("install", "claude-code", "--yes")
    assert done.exit_code == 1
    assert "--gateway" in done.output


def test_in_another_folder_the_gateway_of_the_checkout_is_found(
    places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.cli.hooks.CHECKOUT", places / "gateway")
    assert sightline("install", "codex", "--yes").exit_code == 0


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_GROUPS = st.lists(
    st.fixed_dictionaries(
        {
            "hooks": st.lists(
                st.fixed_dictionaries({"type": st.just("http"), "url": st.text(max_size=9)})
            )
        }
    ),
    min_size=1,
    max_size=3,
)
_HOOKS = st.dictionaries(st.sampled_from(["Stop", "SessionStart", "Other"]), _GROUPS, min_size=1)


@given(st.dictionaries(st.text(max_size=5), _JSON, max_size=4), st.none() | _HOOKS)
def test_what_is_put_in_can_be_taken_out_of_any_settings(
    settings: dict[str, Any], own: dict[str, Any] | None
) -> None:
    settings.pop("hooks", None)
    if own is not None:
        settings["hooks"] = own
    text = json.dumps(settings)
    installed = with_hooks(text, HOOKS, PATH)
    assert with_hooks(installed, HOOKS, PATH) == installed
    assert json.loads(without_hooks(installed, PATH)) == settings
    assert without_hooks(text, PATH) == text


def test_hooks_of_another_agent_or_program_are_not_taken_out() -> None:
    other = {"type": "http", "url": f"{URL}{PATH}-2"}
    text = json.dumps({"hooks": {"Stop": [{"hooks": [other]}]}})
    assert without_hooks(text, PATH) == text
    mixed = json.dumps({"hooks": {"Stop": [{"matcher": "*", "hooks": [other, HOOKS["Stop"]]}]}})
    assert json.loads(without_hooks(mixed, PATH)) == {
        "hooks": {"Stop": [{"matcher": "*", "hooks": [other]}]}
    }


def test_settings_nested_too_deep_are_refused() -> None:
    with pytest.raises(SettingsFormatError, match="deep"):
        with_hooks('{"a":' * 100_000 + "1" + "}" * 100_000, HOOKS, PATH)
