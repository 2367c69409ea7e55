"""Event types and filters for stateful tests, and what a filter means, in the words of the protocol."""

from hypothesis import strategies as st

TYPES = st.sampled_from(["a.x", "a.y", "b.x", "b.y"])
FILTERS = st.sets(st.sampled_from(["*", "a.*", "*.x", "b.y", "c.z"]), max_size=3).map(
    lambda patterns: tuple(sorted(patterns))
)


def allows(patterns: tuple[str, ...], type_: str) -> bool:
    """Whether a filter of these patterns takes events of this type."""
    namespace, name = type_.split(".")
    return bool({"*", type_, f"{namespace}.*", f"*.{name}"} & set(patterns))
