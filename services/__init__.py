"""The processes of Meta Chat Mesh, one package each, and the libraries they share."""
