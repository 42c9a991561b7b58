"""Speed, as ratios against a bound or a peer in the same run. Printed, never asserted: machines differ."""
