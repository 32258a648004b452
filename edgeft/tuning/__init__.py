"""Fine-tuning and quantization-aware tuning: the workstation side, on torch and transformers."""
