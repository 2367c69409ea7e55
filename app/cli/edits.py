"""Edits of somebody's settings files: shown first, written in one step, undone to the byte."""

import base64
import hashlib
import os
import secrets
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import click
import msgspec

_GIT = ("git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never")
_GIT_S = 10
_PRIVATE = stat.S_IRUSR | stat.S_IWUSR


class Edit:
    """A file, and the text that it is to have; None where it is to go. Links are followed."""

    def __init__(self, path: Path, before: bytes | None) -> None:
        self.path = path
        self.before = before
        self.text = self._decoded(before or b"")
        self.after: str | None = None if before is None else self.text
        self.clean = self.text  # without what an earlier installation put in

    @classmethod
    def of(cls, path: Path) -> "Edit":
        """An edit of the file that is there, or of one that is not there yet."""
        path = Path(os.path.realpath(path))
        try:
            return cls(path, path.read_bytes())
        except FileNotFoundError:
            return cls(path, None)
        except OSError as error:
            raise click.ClickException(f"{path}: {error.strerror}") from None

    @property
    def changes(self) -> bool:
        return self.bytes_after != self.before

    @property
    def bytes_after(self) -> bytes | None:
        return None if self.after is None else self.after.encode()

    def write(self, mode: int) -> None:
        """Replace the file in one step, or remove it."""
        content = self.bytes_after
        if content is None:
            self.path.unlink(missing_ok=True)
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), mode)
            temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)

    def _decoded(self, content: bytes) -> str:
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise click.ClickException(f"{self.path} is not UTF-8: mend it first") from None


class _Written(msgspec.Struct):
    """What a file was before an edit, and the fingerprint of what it was made."""

    path: str
    before: str | None  # base64; None where there was no file
    mode: int
    after: str
    line: str | None = None  # that was added, where only a line was
    made_folder: bool = False


class _Record(msgspec.Struct):
    files: list[_Written]


class Installed:
    """What was installed into one settings file, remembered in the user's own state folder."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "before.json"
        self.header_file = folder / "header"

    @classmethod
    def at(cls, path: Path) -> "Installed":
        """What was installed into the file at `path`."""
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        name = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()
        return cls(Path(state).absolute() / "sightline" / "hooks" / name[:16])

    def install(self, edits: list[Edit], header: str) -> None:
        """Write the files, and remember how they were before the first of all installations."""
        known = {written.path: written for written in self._read()}
        files = []
        for edit in edits:
            old = known.pop(str(edit.path), None)
            if old is not None and old.after == _fingerprint(edit.before):
                old.after = _fingerprint(edit.bytes_after)
                files.append(old)
            else:
                files.append(_written(edit))
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._private(self.header_file, header.encode())
        self._private(self._file, msgspec.json.encode(_Record([*files, *known.values()])))
        for edit in edits:
            edit.write(_PRIVATE if edit is edits[0] else _mode(edit.path))

    def restored(self, settings: Edit) -> list[Edit]:
        """The edits that undo the installation: to the byte where nothing else changed a file."""
        edits = [settings]
        for written in self._read():
            is_settings = written.path == str(settings.path)
            edit = settings if is_settings else Edit.of(Path(written.path))
            if written.after == _fingerprint(edit.before):
                before = None if written.before is None else base64.b64decode(written.before)
                edit.after = None if before is None else before.decode()
            elif not is_settings and written.line and edit.after is not None:
                kept = [li for li in edit.text.splitlines(True) if li.strip() != written.line]
                edit.after = "".join(kept)
            if not is_settings:
                edits.append(edit)
        return edits

    def uninstall(self, edits: list[Edit]) -> None:
        """Write the files, and forget the installation."""
        known = {written.path: written for written in self._read()}
        for edit in edits:
            written = known.get(str(edit.path))
            if edit.changes:
                edit.write(written.mode if written else _mode(edit.path))
            if written and written.made_folder and edit.after is None:
                _remove_if_empty(edit.path.parent)
        self.header_file.unlink(missing_ok=True)
        self._file.unlink(missing_ok=True)
        _remove_if_empty(self._file.parent)

    def _read(self) -> list[_Written]:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=_Record).files
        except (OSError, msgspec.MsgspecError):
            return []

    @staticmethod
    def _private(path: Path, content: bytes) -> None:
        edit = Edit(path, None)
        edit.after = content.decode()
        edit.write(_PRIVATE)


def git_exclude(path: Path) -> Edit | None:
    """The edit that keeps a file with a credential out of commits; None where git ignores it.

    Raises:
        ClickException: git tracks the file already.
    """
    path = Path(os.path.realpath(path))
    folder = next(parent for parent in path.parents if parent.is_dir())
    name = path.relative_to(folder).as_posix()
    if (prefix := _git(folder, "rev-parse", "--show-prefix")) is None:
        return None  # no repository
    if _git(folder, "ls-files", "--error-unmatch", "--", name) is not None:
        raise click.ClickException(
            f"git tracks {path}, and the hooks hold a credential: take it out of git first, or"
            " install with --user"
        )
    if _git(folder, "check-ignore", "-q", "--", name) is not None:
        return None
    file = _git(folder, "rev-parse", "--git-path", "info/exclude")
    assert file is not None
    edit = Edit.of(folder / file)
    line = f"/{prefix}{name}"
    end = "" if not edit.text or edit.text.endswith("\n") else "\n"
    edit.after = f"{edit.text}{end}{line}\n"
    return edit


def _git(folder: Path, *words: str) -> str | None:
    """What git answers; None where it says no, or is not there."""
    try:
        done = subprocess.run(
            [*_GIT, *words], cwd=folder, capture_output=True, timeout=_GIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.decode("utf-8", "surrogateescape").rstrip("\n")


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _written(edit: Edit) -> _Written:
    before = None if edit.before is None else base64.b64encode(edit.clean.encode()).decode()
    added = [] if edit.after is None else edit.after.splitlines()[len(edit.text.splitlines()) :]
    return _Written(
        path=str(edit.path),
        before=before,
        mode=_mode(edit.path),
        after=_fingerprint(edit.bytes_after),
        line=added[-1] if len(added) == 1 else None,
        made_folder=not edit.path.parent.exists(),
    )


def _fingerprint(content: bytes | None) -> str:
    return "" if content is None else hashlib.sha256(content).hexdigest()


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0o644
