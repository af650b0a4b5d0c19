"""Scoring: how likely a reply is to be correct, why, and how its model is asked to assess itself."""
