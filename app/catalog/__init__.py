"""The event types that the gateway knows, and the check of what is published."""

from . import types as types
from .registry import Catalog as Catalog
from .registry import CatalogEntry as CatalogEntry
from .registry import event_type as event_type
