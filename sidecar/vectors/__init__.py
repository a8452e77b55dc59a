"""One table of cases for every client that claims to retry as the sidecar does, in any language."""
