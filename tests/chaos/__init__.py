"""Faults, for real: processes killed, frozen and cut off while messages flow, and a count at the end."""
