"""The verbs of `pplcnet gallery`, one file each."""
