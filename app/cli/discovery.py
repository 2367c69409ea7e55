"""What the `litestar` command loads from an installed Sightline, before it looks for an application.

Litestar looks for one in the current folder alone. In a folder without one, `litestar run` means the
gateway, watching that folder. In the checkout, the folder `app` is this very package.
"""

import os
from pathlib import Path

from .login import login as login, token as token

PACKAGE = Path(__file__).parents[1]
_CANONICAL = ("app", "app.py", "application", "application.py")  # where litestar looks by itself


def _means_the_gateway() -> bool:
    found = [Path(name) for name in _CANONICAL if Path(name).exists()]
    return not found or (found == [Path("app")] and found[0].resolve() == PACKAGE.resolve())


if _means_the_gateway():
    # under the name that this package was loaded by: two names would be two copies of it
    os.environ.setdefault("LITESTAR_APP", f"{__name__.partition('.')[0]}:create_app")
