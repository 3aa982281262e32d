"""What a change does, for its reviewer: from two stack files and the engine's events to one report."""
