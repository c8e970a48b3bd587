"""A value for each molecule or atom, read off its string: SMILES -> encoder -> pooling -> head -> value."""
