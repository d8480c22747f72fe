"""Parts of `scdepth bench infer`: what can run, how fast it is, how right it is, and the report."""
