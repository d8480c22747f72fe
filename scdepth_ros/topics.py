"""Names of what depth_node publishes, in its namespace. No ROS is imported, so that readers of bags use them too."""

DEPTH, INFO, CLOUD, COLOR = "depth/image_rect", "depth/camera_info", "points", "depth/colorized"
RGB, RGB_INFO, SCALE = "rgb/image_rect_color", "rgb/camera_info", "~/scale"
