"""What the files made from the catalog share: `python -m app.typescript [MODULE ...]` and its like."""

import sys
from collections.abc import Callable
from importlib import import_module


def print_generated(to_text: Callable[[], str]) -> None:
    """Import the modules that the command line names, for the event types they declare, and print."""
    for name in sys.argv[1:]:
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # found, and itself in need of one that is not
            sys.exit(f"no module {name!r} here: name one as for `import`, such as my_app.events")
    print(to_text(), end="")
