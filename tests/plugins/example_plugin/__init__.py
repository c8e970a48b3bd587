"""A plug-in: one module for each thing that one may want to add, none longer than a screen."""
