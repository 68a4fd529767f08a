"""The Feast repository. Feast imports every module of this folder on apply: definitions only, in one file."""
