"""Ingest: messages become canonical rows; bad records are kept, explained and fed again."""

from typing import Final

from flows.ingest.flow import INGEST_MESSAGE, REFEED

FLOWS: Final = (INGEST_MESSAGE, REFEED)
