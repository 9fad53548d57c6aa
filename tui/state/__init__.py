"""What the screens know: a snapshot with its age, kept by a store without any widget."""
