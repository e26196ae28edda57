"""Where is it, and what happened to it? One search over every name, one story about each thing.

Everything is bounded, masked, and within the caller's owner and brand. All of it needs ``ops:read``.
"""

from hub_api.stories.evidence import evidence
from hub_api.stories.search import search
from hub_api.stories.shapes import (
    KINDS,
    Bar,
    EffectStory,
    Evidence,
    Hit,
    Kind,
    MessageStory,
    ReadBack,
    RecordStory,
    RunStory,
    StepStory,
    Story,
    Waterfall,
    url_of,
)
from hub_api.stories.tell import story

__all__ = [
    "KINDS",
    "Bar",
    "EffectStory",
    "Evidence",
    "Hit",
    "Kind",
    "MessageStory",
    "ReadBack",
    "RecordStory",
    "RunStory",
    "StepStory",
    "Story",
    "Waterfall",
    "evidence",
    "search",
    "story",
    "url_of",
]
