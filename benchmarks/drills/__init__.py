"""Drills: processes killed at random moments, and what must be true afterwards. See `benchmarks.kill_drill`."""
