"""Hooks: how they are run, and the kit that tries them."""
