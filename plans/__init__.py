"""HOW: from a goal and a world to an ordered plan. Pure: no clock, network, database or process."""
