"""Energy meters, a file each. Nothing here needs numpy: the sampler's process and `edgeft doctor` load them alone."""
