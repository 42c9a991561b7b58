"""Rules around a network: egress, firewall, port forwarding, static NAT's ports."""
