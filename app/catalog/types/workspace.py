"""What happens in the workspace and in the gateway itself: files, commits, modes, errors."""

import msgspec
from msgspec import UNSET, UnsetType

from ..registry import event_type


@event_type("file.created", example={"path": "src/main.py", "size": 2048, "is_directory": False})
class FileCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A file or a directory was created."""

    path: str
    size: int | UnsetType = UNSET
    is_directory: bool = False


@event_type("file.modified", example={"path": "src/main.py", "size": 2101, "is_directory": False})
class FileModified(msgspec.Struct, frozen=True, kw_only=True):
    """A file or a directory was modified."""

    path: str
    size: int | UnsetType = UNSET
    is_directory: bool = False


@event_type("file.deleted", example={"path": "src/old", "is_directory": True})
class FileDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """A file or a directory was deleted."""

    path: str
    size: int | UnsetType = UNSET
    is_directory: bool = False


@event_type(
    "git.commit_created",
    example={
        "commit_hash": "9f1c2ab",
        "message": "Fix the parser",
        "author": "Ada",
        "files_changed": ["src/parser.py"],
    },
)
class GitCommitCreated(msgspec.Struct, frozen=True, kw_only=True):
    """A commit was created; `files_changed` is the list of paths, or their number."""

    commit_hash: str
    message: str
    author: str
    files_changed: list[str] | int | UnsetType = UNSET


@event_type("session.mode_changed", example={"mode": "read_only", "previous_mode": "write"})
class SessionModeChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A session changed its mode, such as read-only or write."""

    mode: str
    previous_mode: str | UnsetType = UNSET
    session_id: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET


@event_type("provider.changed", example={"provider": "local", "model": "small"})
class ProviderChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Another model provider is in use from now on."""

    provider: str
    model: str | UnsetType = UNSET
    previous_provider: str | UnsetType = UNSET


@event_type(
    "system.error", example={"message": "disk full", "code": "ENOSPC", "component": "store"}
)
class SystemErrorReported(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the system reports an error."""

    message: str
    code: str | UnsetType = UNSET
    component: str | UnsetType = UNSET


@event_type("system.audit", example={"action": "token_revoked", "identity": "ci"})
class SystemAudited(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody used or changed a credential. The gateway publishes it; only admins read it."""

    action: str  # see docs/tokens.md
    identity: str | UnsetType = UNSET  # the name of a token
    scopes: list[str] | UnsetType = UNSET
    session: str | UnsetType = UNSET  # the id of a browser's log-in
    path: str | UnsetType = UNSET
    peer: str | UnsetType = UNSET
    status: int | UnsetType = UNSET
    left_out: int | UnsetType = UNSET  # records of this action before this one
