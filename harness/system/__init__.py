"""What the operating system offers: forks, memory, what it tells of a process. Imports nothing of ours."""
