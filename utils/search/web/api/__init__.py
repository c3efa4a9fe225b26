"""The HTTP API: its operations, the types of what is sent, and the OpenAPI file made of them."""
