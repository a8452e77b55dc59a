"""The decisions: classification, back-off, budget, breaker, concurrency, judgement.

Pure: no IO, no clock, no randomness, no logging. Time is an argument (`now`, seconds, monotonic) and chance is a
callable given at construction (`rand`, uniform in [0, 1)). The proxy, the simulator, the client library and the tests
run these same objects.
"""
