"""Which token comes next: decoder -> logits -> greedy | sampling | beam -> token sequences."""
