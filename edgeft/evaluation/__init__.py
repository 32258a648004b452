"""On the device: accuracy, latency and memory of every variant of a bundle against the original."""
