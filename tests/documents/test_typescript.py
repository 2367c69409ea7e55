"""The catalog as TypeScript; that it narrows is held by `make test-js`."""

from pathlib import Path

from app.catalog.registry import Catalog
from app.contract.typescript import to_typescript

DECLARATIONS = Path(__file__).parents[2] / "clients" / "js" / "events.d.ts"


def test_the_declarations_are_up_to_date() -> None:
    remedy = "run: python -m app.contract"
    assert DECLARATIONS.read_text(encoding="utf-8") == to_typescript(), remedy


def test_every_type_and_every_field_has_a_typescript_type() -> None:
    declarations = to_typescript()
    for entry in Catalog().entries():
        assert f'"{entry.type}": {{' in declarations
    assert declarations.count(": unknown;") == len(Catalog().entries())  # the index signatures
