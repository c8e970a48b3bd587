"""Strings to batches: file | named corpus -> texts -> tokens -> flat table -> padded batch."""
