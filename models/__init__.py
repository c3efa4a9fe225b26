"""The networks and their losses: tensors in, tensors out. No files, settings or printing."""
