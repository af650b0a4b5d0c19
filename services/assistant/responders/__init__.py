"""Those who draft replies: the tenant's documents, or a language model."""
