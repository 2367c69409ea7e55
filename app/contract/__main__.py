"""Write the files that are generated from the structs, or print one of them.

`python -m app.contract` writes the files of the checkout.
`python -m app.contract NAME [MODULE ...]` prints one, with the event types of the modules.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ..catalog import Catalog
from .asyncapi import to_asyncapi
from .event_types import to_markdown
from .openapi import to_openapi
from .python_classes import to_python
from .schemas import to_text
from .typescript import to_typescript

ROOT = Path(__file__).parents[2]
GENERATED: dict[str, tuple[str, Callable[[], str]]] = {
    "openapi": ("docs/openapi.json", lambda: to_text(to_openapi(Catalog()))),
    "asyncapi": ("docs/asyncapi.json", lambda: to_text(to_asyncapi(Catalog()))),
    "events": ("docs/events.md", to_markdown),
    "typescript": ("clients/js/events.d.ts", to_typescript),
    "python": ("clients/python/sightline_client/events.py", to_python),
}


def main(words: list[str]) -> None:
    """Write all files, or print the one that the first word names."""
    if not words:
        for path, make in GENERATED.values():
            (ROOT / path).write_text(make(), encoding="utf-8")
        return
    name, *modules = words
    if name not in GENERATED:
        sys.exit(f"{name!r} is none of {', '.join(GENERATED)}")
    for module in modules:
        _declare(module)
    print(GENERATED[name][1](), end="")


def _declare(module: str) -> None:
    """Import a module, which registers the event types that it declares."""
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module exists, but one of its imports does not
        sys.exit(f"no module {module!r} here: name one as for `import`, such as my_app.events")


if __name__ == "__main__":
    main(sys.argv[1:])
