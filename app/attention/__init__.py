"""Decides which sessions of agents need a person, and publishes one event for each time."""
