"""What this machine is and does now, read from its file system; the root of that is an argument everywhere."""
