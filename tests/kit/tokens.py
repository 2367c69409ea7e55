"""Named tokens for tests."""

from pathlib import Path
from typing import Any

from app.auth.named import NamedToken, create
from app.auth.token_file import editing


def new_token(name: str, *scopes: Any, created_at: float = 0.0, **fields: Any) -> NamedToken:
    """A token that has no secret yet."""
    return NamedToken(id="", name=name, hash="", scopes=scopes, created_at=created_at, **fields)


def add_token(folder: Path, name: str, *scopes: Any, **fields: Any) -> str:
    """Make a token in the file of a state folder, as the command does; return its secret."""
    with editing(folder) as (tokens, write):
        changed, secret = create(tokens, new_token(name, *scopes, **fields))
        write(changed)
    return secret
