"""Faults between any two steps: processes that are killed, disks that are full, files that were changed; and their counts."""
