"""What the units compute, on arrays whose last axis is lanes: no time, no place, and the same bits on every host."""
