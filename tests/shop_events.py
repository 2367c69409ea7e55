"""Event types of an application, which the generators import in processes of their own."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from app.catalog import event_type


class Item(msgspec.Struct):
    """One line of an order."""

    name: str
    price: float | None = None


@event_type("shop.order_placed", example={"order_id": 7, "items": [{"name": "tea"}], "via": "web"})
class OrderPlaced(msgspec.Struct, frozen=True, kw_only=True):
    """A customer placed an order."""

    order_id: int | str
    items: list[Item]
    via: Literal["web", "phone"]
    gift: bool = False
    notes: dict[str, object] | UnsetType = UNSET
    delivered_to: Item | None = None
