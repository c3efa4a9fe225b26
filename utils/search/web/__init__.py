"""A page in the browser for searching a folder of sounds, and the server behind it."""
