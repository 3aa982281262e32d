"""The pinned toolchain: programs, machine image and container images, built where they cannot be had."""
