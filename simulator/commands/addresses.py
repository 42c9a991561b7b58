"""Public addresses of isolated networks: acquire, release, static NAT, list."""
