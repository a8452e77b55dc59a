"""Holds for every test: an example of hypothesis may take as long as it needs, since no test asserts a time."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
