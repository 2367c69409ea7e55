"""Takes secrets out of JSON before anything else sees it."""

from .kinds import KINDS as KINDS, choice_of as choice_of
from .redactor import Redactor as Redactor
