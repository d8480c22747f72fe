"""The parts of `scdepth bench node`: the pipeline in process, the node over DDS, the soak, and the report."""
