"""The parts of `make demo`: a rendered recording, a recorder of topics, and the report."""
