"""Putting right what went wrong with records: the record itself, or the mapping of its whole stream."""

from hub_api.corrections.mappings import (
    activate_mapping,
    mapping_source,
    mapping_state,
    revise_mapping,
    try_mapping,
)
from hub_api.corrections.records import correct, preview, read_editable
from hub_api.corrections.shapes import Change, MappingState, Preview, Revision, Trial

__all__ = [
    "Change",
    "MappingState",
    "Preview",
    "Revision",
    "Trial",
    "activate_mapping",
    "correct",
    "mapping_source",
    "mapping_state",
    "preview",
    "read_editable",
    "revise_mapping",
    "try_mapping",
]
