"""Properties are tried on the same examples every time, and as long as they take: a busy machine is no failure."""

from hypothesis import settings

settings.register_profile("plain", deadline=None, derandomize=True)
settings.load_profile("plain")
