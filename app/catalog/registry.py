"""The catalog: the event types, and the check that every published event passes."""

import copy
import difflib
import re
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import msgspec
from msgspec import UnsetType

from ..errors import InvalidDataError, UnknownEventTypeError

TYPE_PATTERN = re.compile(r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")
MAX_TYPE_LENGTH = 64
REFERENCE = "docs/events.md"
MAX_ACCEPTED = 4096  # publishers may invent types in extra namespaces: clear the cache, never grow

_MAX_SHOWN = 80
_REF_TEMPLATE = "#/$defs/{name}"

Identifier = str | int  # of a session, story or message: chosen by the publisher
_StructType = TypeVar("_StructType", bound=type[msgspec.Struct])


class _Registration(msgspec.Struct, frozen=True):
    name: str
    struct: type[msgspec.Struct]
    description: str
    example: dict[str, object]


_REGISTRY: dict[str, _Registration] = {}
_STRUCTS: dict[str, type[msgspec.Struct]] = {}
_TYPES: dict[type[msgspec.Struct], str] = {}


def event_type(
    type_: str, *, example: Mapping[str, object]
) -> Callable[[_StructType], _StructType]:
    """Register the decorated struct as the data of `type_`; its docstring is the description."""

    def register(struct: _StructType) -> _StructType:
        if not _well_formed(type_):
            raise ValueError(f"event type {type_!r} is not of the form namespace.name")
        if type_ in _REGISTRY or struct in _TYPES:
            raise ValueError(f"event type {type_!r} or struct {struct.__name__} registered twice")
        description = " ".join((struct.__doc__ or "").split())
        if not description:
            raise ValueError(f"the struct of event type {type_!r} has no docstring")
        _REGISTRY[type_] = _Registration(type_, struct, description, dict(example))
        _STRUCTS[type_] = struct
        _TYPES[struct] = type_
        return struct

    return register


def _well_formed(type_: str) -> bool:
    return len(type_) <= MAX_TYPE_LENGTH and TYPE_PATTERN.fullmatch(type_) is not None


class CatalogEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event type for clients; `schema` is a self-contained JSON Schema."""

    type: str
    description: str
    schema: dict[str, object]
    example: dict[str, object]


class Catalog:
    """The registered event types, and any well-formed type of `extra_namespaces`."""

    def __init__(self, extra_namespaces: Collection[str] = ()) -> None:
        self._extra_namespaces = frozenset(extra_namespaces)
        self._structs = _STRUCTS  # shared: a module imported later may add types
        self._accepted: set[str] = set()  # well-formed types of extra namespaces, seen before

    def check(self, type_: str, fields: dict[str, object]) -> None:
        """Raise unless `type_` is known and `fields`, as decoded from JSON, fit it.

        Raises:
            UnknownEventTypeError: the message names the nearest type.
            InvalidDataError: the message names the field.
        """
        struct = self._structs.get(type_)
        if struct is None:
            if type_ not in self._accepted and not self._is_extra(type_):
                raise UnknownEventTypeError(self._unknown(type_))
            return  # any object fits
        try:
            try:
                msgspec.convert(fields, struct)
            except msgspec.ValidationError:  # slower by two thirds, and few structs need it
                msgspec.convert(fields, struct, str_keys=True)
        except (msgspec.ValidationError, RecursionError) as error:
            raise InvalidDataError(
                f"data of event type {_show(type_)} is invalid: {error}; see {REFERENCE}"
            ) from error

    @property
    def extra_namespaces(self) -> frozenset[str]:
        """The namespaces in which any well-formed type is accepted."""
        return self._extra_namespaces

    def label_of(self, type_: str) -> str:
        """The namespace to count a type under; "other" for types outside the catalog.

        Other clients of NATS can publish any type; they must not create labels of metrics.
        """
        namespace = type_.partition(".")[0]
        is_known = type_ in self._structs or namespace in self._extra_namespaces
        return namespace if is_known else "other"

    @property
    def structs(self) -> Mapping[str, type[msgspec.Struct]]:
        """The struct of each type's data."""
        return self._structs

    def type_of(self, struct: type[msgspec.Struct]) -> str:
        """The event type whose data `struct` describes."""
        type_ = _TYPES.get(struct)
        if type_ is None:
            raise UnknownEventTypeError(
                f"struct {_show(struct.__qualname__)} is not the data of any event type; "
                f"use a struct of app.catalog.registry, listed in {REFERENCE}"
            )
        return type_

    def entries(self) -> list[CatalogEntry]:
        """Every registered event type, in order of registration; the caller owns the result."""
        return [
            CatalogEntry(
                type=registration.name,
                description=registration.description,
                schema=_schema_of(registration.struct),
                example=copy.deepcopy(registration.example),
            )
            for registration in _REGISTRY.values()
        ]

    def _is_extra(self, type_: str) -> bool:
        if type_.partition(".")[0] not in self._extra_namespaces or not _well_formed(type_):
            return False
        if len(self._accepted) >= MAX_ACCEPTED:
            self._accepted.clear()
        self._accepted.add(type_)
        return True

    def _unknown(self, type_: str) -> str:
        if type_.partition(".")[0] in self._extra_namespaces:
            return (
                f"event type {_show(type_)} is malformed: expected namespace.name in lower case "
                f"letters, digits and underscores, at most {MAX_TYPE_LENGTH} characters; "
                f"see {REFERENCE}"
            )
        asked = type_[:MAX_TYPE_LENGTH].lower()
        nearest = difflib.get_close_matches(asked, self._structs, n=1, cutoff=0.0)[0]
        return (
            f"unknown event type {_show(type_)}: the nearest known type is {nearest!r}; "
            f"every type is listed in {REFERENCE}"
        )


def _show(value: str) -> str:
    shown = repr(value[: _MAX_SHOWN + 1])
    return shown if len(shown) <= _MAX_SHOWN else shown[: _MAX_SHOWN - 3] + "..."


def schema_hook(type_: type) -> dict[str, object]:
    """Schemas that msgspec lacks: for any JSON value, and for a field that must be absent."""
    if type_ in (object, msgspec.Raw):
        return {"description": "Any JSON value."}
    if type_ is UnsetType:
        return {"not": {}}
    raise NotImplementedError


def _schema_of(struct: type[msgspec.Struct]) -> dict[str, object]:
    _, components = msgspec.json.schema_components(
        [struct], schema_hook=schema_hook, ref_template=_REF_TEMPLATE
    )
    schema: dict[str, object] = dict(components.pop(struct.__name__))
    if components:
        schema["$defs"] = components
    return schema
