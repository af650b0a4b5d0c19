"""Conversations that need a person: the waiting list, its order, its rules, and what customers are told."""
