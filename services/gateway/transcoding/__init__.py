"""REST from the google.api.http annotations of the descriptors, as http.proto describes it."""
