"""The event types that the gateway knows, and the check of what is published."""

from . import types as types
from .registry import Catalog as Catalog, CatalogEntry as CatalogEntry, event_type as event_type
