"""`python -m loadtest soak`: what a proxy keeps of what passes through it, which should be nothing."""
