"""RGB-D sequences in the layout of the TUM benchmark, and camera files of the SLAM systems that read them."""
