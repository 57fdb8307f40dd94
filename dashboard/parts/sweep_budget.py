"""Hours that a sweep may take: which are used up, and how many it is to have in all."""

from dataclasses import dataclass

import pandas as pd
import streamlit as st

from dashboard.formats import duration
from store import Sweep


@dataclass(frozen=True)
class Limit:
    """A limit of the sweep's recipe, in hours of all calls together."""

    option: str
    """What a job calls it."""
    title: str
    hours: float
    used: float
    """Hours; nan where it was not measured."""


def used_up(sweep: Sweep, trials: pd.DataFrame) -> list[Limit]:
    """The limits that ended the sweep, or would end it at once if it went on."""
    spec = sweep.recipe.get("sweep") or {}
    device_seconds = trials["held_seconds"].astype("float64").sum(min_count=1)
    limits = [
        (field, Limit(field.replace("_", "-"), title, float(spec[field]), seconds / 3600))
        for field, title, seconds in (
            ("max_hours", "Hours in all", sweep.wall_seconds),
            ("max_gpu_hours", "Hours of devices in all", float(device_seconds)),
        )
        if spec.get(field) is not None
    ]
    return [limit for field, limit in limits if limit.used >= limit.hours or f"({field})" in (sweep.cause or "")]


def hours_wanted(limits: list[Limit]) -> dict[str, float]:
    """A field for each limit that is used up: option of a job → hours in all, as much again unless told otherwise."""
    wanted = {}
    for limit in limits:
        least = max(limit.hours, limit.used if limit.used == limit.used else 0.0)
        wanted[limit.option] = float(
            st.number_input(
                limit.title,
                min_value=least,
                value=least + limit.hours,
                step=limit.hours,
                key=f"sweep-{limit.option}",
                help=f"{duration(3600 * limit.used)} of {duration(3600 * limit.hours)} are used up: more are needed.",
                width=190,
            )
        )
    return wanted
