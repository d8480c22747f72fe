"""Live topics into a recording: find them, take their bytes, leave out what did not move, count everything."""
