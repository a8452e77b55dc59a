"""Reads the two YAML documents: text to tree to typed structs, with each finding at its file, line and field."""
