"""ROS 2 around scdepth_core: messages, bags and nodes. Never trains."""
