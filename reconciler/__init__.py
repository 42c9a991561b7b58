"""DOING: looks at the world, carries plans out, remembers. All side effects live here."""
