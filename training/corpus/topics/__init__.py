"""Topics that are computed rather than written out: tables, sums, stories, lists, moods of a review."""
