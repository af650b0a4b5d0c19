"""Tenant → Settings: everything a tenant may switch, tried before it is saved."""
