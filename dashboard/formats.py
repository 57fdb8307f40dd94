"""How numbers are written: the same precision everywhere, and `–` for what was not measured."""

import re
from collections.abc import Sequence
from typing import TypeGuard

UNKNOWN = "–"


def is_known(value: float | None) -> TypeGuard[float]:
    """Whether a value was measured: neither None nor nan."""
    return value is not None and value == value


def number(value: float | None, digits: int = 3) -> str:
    """A score, a loss.

    >>> number(0.68123), number(None), number(1e-5)
    ('0.681', '–', '1.00e-05')
    """
    if not is_known(value):
        return UNKNOWN
    if value != 0 and abs(value) < 10**-digits:
        return f"{value:.2e}"
    return f"{value:,.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference, with a true minus sign.

    >>> signed(0.214), signed(-0.02)
    ('+0.214', '−0.020')
    """
    return f"{value:+.{digits}f}".replace("-", "−") if is_known(value) else UNKNOWN


def interval(low: float | None, high: float | None, *, is_difference: bool = False) -> str:
    """The two ends of an interval.

    >>> interval(0.66, 0.702), interval(-0.01, 0.03, is_difference=True), interval(None, 1.0)
    ('0.660 to 0.702', '−0.010 to +0.030', '–')
    """
    if not is_known(low) or not is_known(high):
        return UNKNOWN
    write = signed if is_difference else number
    return f"{write(low)} to {write(high)}"


def estimate(value: float | None, low: float | None, high: float | None) -> str:
    """A value and half the width of its interval.

    >>> estimate(0.681, 0.66, 0.702), estimate(0.681, None, None), estimate(None, None, None)
    ('0.681 ± 0.021', '0.681', '–')
    """
    if not is_known(value) or not is_known(low) or not is_known(high):
        return number(value)
    return f"{number(value)} ± {(high - low) / 2:.3f}"


def count(value: float | None) -> str:
    """A count: `1,429`."""
    return f"{value:,.0f}" if is_known(value) else UNKNOWN


def compact(value: float | None) -> str:
    """A large count in thousands or millions.

    >>> compact(300_000), compact(22_713_216), compact(512), compact(None)
    ('300 k', '22.7 M', '512', '–')
    """
    if not is_known(value):
        return UNKNOWN
    for limit, scale, unit in ((1e3, 1, ""), (1e6, 1e3, " k"), (1e9, 1e6, " M")):
        if value < limit:
            return f"{value / scale:.{1 if scale == 1e6 else 0}f}{unit}"
    return f"{value / 1e9:.1f} G"


def percent(share: float | None) -> str:
    """A share in [0, 1] as `12 %`."""
    return f"{100 * share:.0f} %" if is_known(share) else UNKNOWN


def duration(seconds: float | None) -> str:
    """A length of time, in the two units that matter.

    >>> duration(0.25), duration(40), duration(725), duration(7500), duration(200_000), duration(None)
    ('0.2 s', '40 s', '12 min 05 s', '2 h 05 min', '2 d 7 h', '–')
    """
    if not is_known(seconds):
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if minutes < 60:
        return f"{int(minutes)} min {int(seconds % 60):02d} s"
    if hours < 48:
        return f"{int(hours)} h {int(minutes % 60):02d} min"
    return f"{int(days)} d {int(hours % 24)} h"


def age(at: float | None, now: float) -> str:
    """How long ago something was.

    >>> age(100.0, 103.0), age(0.0, 7200.0), age(None, 1.0)
    ('3 s ago', '2 h ago', '–')
    """
    if not is_known(at):
        return UNKNOWN
    seconds = max(0.0, now - at)
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "min"), (172800, 3600, "h"), (float("inf"), 86400, "d")):
        if seconds < limit:
            return f"{int(seconds / unit)} {name} ago"
    raise AssertionError("the last limit is infinite")


def size(n_bytes: float | None) -> str:
    """Bytes in powers of 1000, as disks are sold.

    >>> size(412_000_000), size(3.1e9), size(512), size(None)
    ('412 MB', '3.1 GB', '512 B', '–')
    """
    if not is_known(n_bytes):
        return UNKNOWN
    for unit in ("B", "kB", "MB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.0f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"


def short(text: str, limit: int = 120) -> str:
    """One line of a text, cut with `…` (tables show many; the example card shows all)."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def middle(text: str, limit: int = 30) -> str:
    """One line of a name, cut in its middle: names that begin alike are told apart by their ends.

    >>> middle("balance_not_updated_after_bank_transfer", 20), middle("age_limit", 20)
    ('balance_no…_transfer', 'age_limit')
    """
    line = " ".join(text.split())
    tail = (limit - 1) // 2
    return line if len(line) <= limit else f"{line[: limit - 1 - tail]}…{line[len(line) - tail :]}"


def distinct(names: Sequence[str], limit: int = 30) -> list[str]:
    """Names cut in their middles, those whole that would not be told apart so.

    >>> distinct(["aaaaaaaaa_1_b", "aaaaaaaaa_2_b", "c"], 6)
    ['aaaaaaaaa_1_b', 'aaaaaaaaa_2_b', 'c']
    """
    cut = [middle(name, limit) for name in names]
    return [name if cut.count(text) > 1 else text for name, text in zip(names, cut, strict=True)]


_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^=])")


def escape(text: str) -> str:
    """Text from the store, safe inside markdown: no formatting, links, math, directives or HTML.

    >>> print(escape("<b> $x$ :smile: [a](b)"))
    \\<b\\> \\$x\\$ \\:smile\\: \\[a\\]\\(b\\)
    """
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def badge_text(text: str) -> str:
    """As `escape`, for `st.badge`, which escapes square brackets itself.

    >>> print(badge_text("<b> [a](b)"))
    \\<b\\> [a]\\(b\\)
    """
    return escape(text).replace("\\[", "[").replace("\\]", "]")
