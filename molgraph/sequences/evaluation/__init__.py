"""How good what was written is: samples | candidates -> metrics and pictures."""
