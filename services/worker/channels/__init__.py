"""The providers' send APIs behind one port."""
