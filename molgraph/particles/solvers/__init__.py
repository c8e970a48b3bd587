"""The physics that is learned: scene -> MPM | SPH | molecular dynamics -> frames."""
