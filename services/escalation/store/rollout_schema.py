"""Rollout needs no table of its own: its columns stand at `turns` in `schema.py`."""

from __future__ import annotations
