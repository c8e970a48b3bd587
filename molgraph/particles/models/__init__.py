"""The learned step: state -> edges -> message passing -> acceleration -> next state."""
