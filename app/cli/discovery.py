"""Loaded by the `litestar` command before it looks for an application.

Litestar looks for an application in the current folder. In a folder without one, `litestar run`
serves the gateway, which watches that folder. In the checkout, the folder `app` is this package.
"""

import os
from pathlib import Path

from .login import login as login
from .tokens import token as token

PACKAGE = Path(__file__).parents[1]
_CANONICAL = ("app", "app.py", "application", "application.py")  # where Litestar looks


def _means_the_gateway() -> bool:
    found = [Path(name) for name in _CANONICAL if Path(name).exists()]
    return not found or (found == [Path("app")] and found[0].resolve() == PACKAGE.resolve())


if _means_the_gateway():
    # Under the name of this import: another name would load a second copy.
    os.environ.setdefault("LITESTAR_APP", f"{__name__.partition('.')[0]}:create_app")
