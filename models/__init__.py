"""The networks and their losses; no files, no configuration, no printing."""
