"""Small images with labels, and the script that made them."""
