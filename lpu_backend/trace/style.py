"""Colours and type of the occupancy picture, for light and dark pages."""

from lpu_backend.trace.occupancy import ACTIVITIES, Activity

# Told apart by people who see red and green alike, and by lightness where neighbours in the picture meet.
_COLOURS: dict[Activity, tuple[str, str]] = {
    "MXM": ("#7a3fa0", "#c38be6"),
    "SXM": ("#2f8f5b", "#58c98c"),
    "MEM read": ("#2a6fbb", "#6aaef2"),
    "MEM write": ("#e08a1e", "#f2b152"),
    "VXM": ("#c2324b", "#f0728a"),
    "C2C": ("#157f8d", "#4cc5d4"),
    "ICU": ("#6b7280", "#a3abb8"),
}
_PAGE = {
    "page": ("fill:#ffffff", "fill:#14171c"),
    "floor": ("fill:#f4f5f7", "fill:#1c2128"),
    "unit": ("fill:#e3e6eb", "fill:#2a313b"),
    "switch": ("fill:#eceef2", "fill:#232931"),
    "grid": ("stroke:#d3d7de", "stroke:#363d48"),
    "axis": ("stroke:#8a919c", "stroke:#7d8694"),
    "rate": ("fill:#9aa3b0", "fill:#76808e"),
    "band-E": ("fill:#3b4a63", "fill:#c9d4e6"),
    "band-W": ("fill:#7a5a33", "fill:#e6d3b8"),
    "bands": ("opacity:.6", "opacity:.42"),  # of all together, so that they stay behind the cells
    "ink": ("fill:#1b1f26", "fill:#eceff4"),
    "soft": ("fill:#5b6370", "fill:#a4adba"),
}
LEVELS = 5
"""Steps of intensity: a column's cycles that are busy, up to a fifth, two fifths ... all."""


def name_class(activity: Activity) -> str:
    """The CSS class of an activity's cells."""
    return activity.lower().replace(" ", "-")


def write_style() -> str:
    """The style element's rules."""
    rules = [
        "text{font-family:Inter,'Helvetica Neue',Helvetica,Arial,'DejaVu Sans',sans-serif;font-size:11px}",
        ".title{font-size:18px;font-weight:600}",
        ".small{font-size:10px}",
        ".strong{font-weight:600}",
        ".middle{text-anchor:middle}.end{text-anchor:end}",
        "line{stroke-width:1}",
        ".grid{stroke-dasharray:2 3}",
        *(f".level-{level}{{fill-opacity:{0.15 + 0.85 * level / LEVELS:.2f}}}" for level in range(1, LEVELS + 1)),
        ".streams-few{fill-opacity:.18}.streams-some{fill-opacity:.3}.streams-many{fill-opacity:.5}",
    ]
    light = [f".{name}{{{colours[0]}}}" for name, colours in _PAGE.items()]
    light += [f".{name_class(activity)}{{fill:{_COLOURS[activity][0]}}}" for activity in ACTIVITIES]
    dark = [f".{name}{{{colours[1]}}}" for name, colours in _PAGE.items()]
    dark += [f".{name_class(activity)}{{fill:{_COLOURS[activity][1]}}}" for activity in ACTIVITIES]
    return "\n".join([*rules, *light, "@media (prefers-color-scheme:dark){", *dark, "}"])
