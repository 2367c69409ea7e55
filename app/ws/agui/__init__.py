"""Agent sessions as streams of AG-UI events: the translation, the reading, and the outlet."""
