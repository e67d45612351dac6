"""Times: paired runs, equivalence at level 2, bench, and the sensors read meanwhile."""
