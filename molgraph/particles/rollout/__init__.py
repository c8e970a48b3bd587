"""From one state to many: state -> step after step -> frames, metrics, pictures and files."""
