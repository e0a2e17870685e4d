"""The sections of a report, one file each; ``registry`` puts them in order."""
