"""What people say of replies, and what it makes of a tenant's calibration."""
