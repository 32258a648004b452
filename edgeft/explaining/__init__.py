"""`edgeft explain`: what the models of a run look at, the original and the quantized one side by side."""
