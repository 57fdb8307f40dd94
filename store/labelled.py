"""The name of a label in SQL, where a target may also be a number or JSON."""


def name_of(target: str, wanted: str | None = None, *, names: str = "d.label_names") -> str:
    """An expression for the name of a target, and for the target itself where it is no label.

    target: the column that says what kind of target it is. wanted: the one to be named, where it is another of the
    same kind. names: the column that holds the names, a JSON list.

    >>> name_of("t")
    "coalesce(json_extract(d.label_names, '$[' || iif(typeof(t) = 'integer', t, '#') || ']'), t)"
    """
    return f"coalesce({label_name(target, wanted, names=names)}, {wanted or target})"


def label_name(target: str, wanted: str | None = None, *, names: str = "d.label_names") -> str:
    """As `name_of`, but NULL where the target is no label."""
    return f"json_extract({names}, '$[' || iif(typeof({target}) = 'integer', {wanted or target}, '#') || ']')"
