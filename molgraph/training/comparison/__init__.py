"""Which model is better: run folders -> one split -> seeds and paired intervals -> table, page; and studies of many."""
