"""Scale-consistent depth from unlabelled video: SC-Depth V1, V2 and V3. Never imports ROS."""
