"""`mypyc_attr` of `mypy_extensions`, for wheels that are compiled: it needs no package at run time."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**_: object):
        """Leave the class as it is; mypyc reads the arguments when it compiles the class."""
        return lambda decorated: decorated
