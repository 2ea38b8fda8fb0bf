"""What a project's source says, read and never run: what its names stand for, what its code writes and imports."""
