"""What a study says, typed and without torch: its configuration, and the discriminators, splits and targets in it."""
