"""What is done with policies and trails beside running tools."""

from __future__ import annotations

from answerable.analysis.cedar import cedar

__all__ = ["cedar"]
