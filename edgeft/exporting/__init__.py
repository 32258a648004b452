"""From a run to a bundle: ONNX files a device can run, and the proof of what is in them."""
